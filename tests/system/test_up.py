"""`worker up`, as a process: what it starts ends with it, however it ends."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import psutil
import pytest

from tests.architecture.layout import ROOT
from tests.system.leaving import note
from tests.system.world import play

pytestmark = pytest.mark.slow

FLOWS = """
from runner import flow, task
@task
def one(): return 1
@flow
def first(): one()
@flow
def second(n, m=3): one()
"""


async def up(folder: Path, *arguments: str) -> Process:
    command = [sys.executable, "-m", "supervisor", "up", "--port", "0", "--state-dir", str(folder / "home"), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=env, cwd=folder)
    note(process.pid)
    return process


async def said(process: Process, pattern: str) -> list[str]:
    """Read what it tells until a line fits."""
    assert process.stderr is not None
    lines: list[str] = []
    while not lines or re.search(pattern, lines[-1]) is None:
        line = await process.stderr.readline()
        assert line, lines
        lines.append(line.decode().rstrip())
    return lines


async def ended(pidfd: int) -> None:
    """Wait until a process that is not our child has ended."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, over.set)
    await over.wait()
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)


def test_what_it_started_ends_in_order_when_it_is_killed(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        process = await up(tmp_path)
        await said(process, "up: ready")
        children = {child.pid: child.cmdline() for child in psutil.Process(process.pid).children(recursive=True)}
        names = {
            pid: next(w for w in ("keeper", "server", "run") if w in " ".join(c[1:4])) for pid, c in children.items()
        }
        assert sorted(names.values()) == ["keeper", "run", "server"]
        order: list[str] = []

        async def note(name: str, pidfd: int) -> None:
            await ended(pidfd)
            order.append(name)

        waits = [asyncio.ensure_future(note(name, os.pidfd_open(pid))) for pid, name in names.items()]
        process.send_signal(signal.SIGKILL)
        await asyncio.gather(*waits)
        await process.wait()
        return order

    order = play(scenario())
    assert order.index("run") < order.index("server")
    assert not list((tmp_path / "home" / "workers").iterdir())


def test_it_lists_the_flows_of_a_file_and_how_to_submit_them(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)

    async def scenario() -> tuple[list[str], int | None]:
        process = await up(tmp_path, "flows.py")
        lines = await said(process, "second")
        process.send_signal(signal.SIGTERM)
        await process.communicate()
        return lines, process.returncode

    lines, code = play(scenario())
    assert "up: worker submit flows.py:first --wait" in lines
    assert "up: worker submit flows.py:second --param n=… --wait" in lines
    assert code == 0


def test_a_drain_ends_it_calmly(tmp_path: Path) -> None:
    async def scenario() -> tuple[str, str, int | None]:
        process = await up(tmp_path)
        await said(process, "up: ready")
        home = str(tmp_path / "home")
        drain = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "supervisor", "drain", "--state-dir", home, "--wait", "40", "--json", stdout=PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        out, _ = await drain.communicate()
        assert drain.returncode == 0
        _, err = await process.communicate()
        return out.decode(), err.decode(), process.returncode

    out, err, code = play(scenario())
    assert json.loads(out)["workers"][0]["ended"]
    assert "up: the worker was drained and has ended; the server is stopped too" in err
    assert "nobody asked" not in err
    assert code == 0


@pytest.mark.parametrize(("source", "words"), [("import no_such_module", "no_such_module"), ("x = 1", "@flow")])
def test_a_file_that_is_no_flow_is_said_before_anything_starts(tmp_path: Path, source: str, words: str) -> None:
    (tmp_path / "flows.py").write_text(source)

    async def scenario() -> tuple[str, int | None]:
        process = await up(tmp_path, "flows.py")
        _, err = await process.communicate()
        return err.decode(), process.returncode

    err, code = play(scenario())
    assert code == 2
    assert words in err
    assert not (tmp_path / "home").exists()
