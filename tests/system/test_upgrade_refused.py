"""Who asks a worker to give itself up for one that could not take its place is told why, and the worker stays."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from supervisor.journal_files import folder_of, read
from supervisor.slate import VERSION
from supervisor.upgrading import Inheritance, Wish, unfound, unread, write
from tests.architecture.layout import ROOT
from tests.system.disks import fill, mounts, small_disk
from tests.system.leaving import lives, processes_of
from tests.system.test_adoption import World, world
from tests.system.test_adoption_points import waiting_in
from tests.system.test_commands import PLAIN, output, worker
from tests.system.world import play

pytestmark = pytest.mark.slow

OTHER = "import supervisor.slate; supervisor.slate.VERSION = 99; from supervisor.cli import main; main()"

SLOW = """#!{python}
import os, sys, time
if ("--check" in sys.argv) == {tried}:
    open({place!r} + "/there", "w").close()
    while not os.path.exists({place!r} + "/on"):
        time.sleep(0.02)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def program(place: Path, script: str) -> str:
    """Make a program that a worker takes for a Python."""
    place.write_text(f"#!/bin/sh\n{script}\n")
    place.chmod(0o755)
    return str(place)


def of_another_version(folder: Path) -> str:
    """Make a Python whose Taskhand writes other slates. It is called as `python -P -m supervisor …`."""
    return program(folder / "other", f"shift 3; exec {sys.executable} -c '{OTHER}' \"$@\"")


async def asked(folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """Ask for an upgrade: its exit code, and what it says of the worker."""
    code, out, err = await output(await worker(folder, "upgrade", "--json", *more))
    assert out, err
    told: dict[str, Any] = json.loads(out)["workers"][0]
    return code, told


async def with_a_task(found: World, **environ: Any) -> Process:
    """Start a worker with a task that waits."""
    first = await found.start(**environ)
    found.give(command=waiting_in(found.folder), **PLAIN)
    await found.here(1)
    await found.running()
    return first


def the_task(found: World) -> int:
    """Give the pid of the only task: what it starts is of its group."""
    [task] = [pid for pid in found.children() if os.getpgid(pid) == pid]
    return task


async def ended_as_it_should(found: World) -> None:
    """Let the task go, and have the worker that is there tell of it."""
    found.go()
    await found.told()
    await found.stop()
    assert found.ends() == [[("failed", "app")]]
    assert found.starts() == 1


@pytest.mark.parametrize("broken", ["settings", "place", "code", "version"])
def test_a_successor_that_could_not_start_replaces_nobody(tmp_path: Path, broken: str) -> None:
    config, module = tmp_path / "worker.toml", tmp_path / "fragile.py"
    config.write_text("[worker]\nslots = 20\n")
    module.write_text("from tests.system.children import main\n")
    environ: dict[str, Any] = {
        "TASKHAND_CONFIG": str(config),
        "TASKHAND_KEEPER_ENTRY": "fragile:main",
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
    }

    async def scenario() -> tuple[int, dict[str, Any]]:
        async with world(tmp_path) as found:
            await with_a_task(found, **environ)
            if broken == "settings":
                config.write_text("[worker]\nslotz = 20\n")
            elif broken == "place":
                config.write_text("[journal]\nenabled = false\n")
            elif broken == "code":
                module.write_text("def main(:\n")
            python = ["--python", of_another_version(tmp_path)] if broken == "version" else []
            told = await asked(tmp_path, *python)
            await ended_as_it_should(found)
            assert f"no upgrade: {told[1]['why']}; this worker goes on" in found.complaints
            return told

    code, told = play(scenario())
    assert (code, told["upgraded"]) == (1, False)
    assert {
        "settings": f"{config}: unknown key worker.slotz; did you mean slots?",
        "place": "its successor would have no journal and adopt nothing",
        "code": "SyntaxError: invalid syntax",
        "version": f"slates are of version {VERSION}, and its successor reads 99: drain it",
    }[broken] in told["why"]


def test_what_a_successor_has_to_find_and_to_read() -> None:
    ours = Inheritance("/here", "server")
    newer, other = structs.replace(ours, journal=ours.journal + 1), structs.replace(ours, slate=VERSION + 1)
    assert unread(ours, ours) is None
    assert unfound(other, ours) is None
    assert unread(newer, ours) is None
    assert unread(ours, newer) is not None
    assert unread(other, ours) is not None
    assert unread(ours, other) is not None
    for wrong, named in (({"state_dir": "/there"}, "/there"), ({"api": "another"}, "another"), ({"adopts": False}, "")):
        why = unfound(structs.replace(ours, **wrong), ours)
        assert why is not None
        assert named in why


def test_a_worker_of_another_version_touches_nothing_that_runs(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, str]:
        async with world(tmp_path) as found:
            await with_a_task(found)
            await found.kill()
            task = the_task(found)
            other = [of_another_version(tmp_path), "-P", "-m", "supervisor", "run", "--state-dir", str(tmp_path)]
            environ = {**os.environ, "PYTHONPATH": str(ROOT), "TASKHAND_WORKER_TOKEN": "token"}
            process = await asyncio.create_subprocess_exec(
                *other, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            code, _, err = await output(process)
            assert lives(task)
            assert len(read(folder_of(tmp_path)).story.entries) == 1
            await found.start()
            await ended_as_it_should(found)
            return code, err

    code, err = play(scenario())
    assert code == 2
    assert f"1 attempts of the last worker are held by their keepers, and their slates are of version {VERSION}" in err


def test_a_worker_that_can_start_no_child_looks_after_those_that_it_finds(tmp_path: Path) -> None:
    module = tmp_path / "fragile.py"
    module.write_text("def main(:\n")

    async def scenario() -> World:
        async with world(tmp_path) as found:
            await with_a_task(found)
            await found.kill()
            second = await found.start(TASKHAND_KEEPER_ENTRY="fragile:main", PYTHONPATH=f"{ROOT}:{tmp_path}")
            found.go()
            await found.told()
            assert not processes_of(second.pid)
            module.write_text("from tests.system.children import main\n")
            while not processes_of(second.pid):  # noqa: ASYNC110 - nobody tells of another's child
                await asyncio.sleep(0.01)
            await found.stop()
        return found

    found = play(scenario())
    assert found.ends() == [[("failed", "app")]]
    assert "SyntaxError: invalid syntax\n; nothing is claimed until a keeper starts" in found.complaints


@mounts
def test_a_disk_that_fills_up_over_an_upgrade_costs_nothing(tmp_path: Path) -> None:
    """Its note has room, and nothing else; what the successor cannot leave for others it leaves when there is room."""

    async def scenario(disk: Path) -> World:
        async with world(disk) as found:
            first = await with_a_task(found, TASKHAND_JOURNAL_ON_FAULT="go_on")
            assert first.stderr is not None
            before = (disk / "workers" / f"{first.pid}.json").read_text()
            write(disk, first.pid, Wish())
            ballast = fill(disk)
            first.send_signal(signal.SIGUSR1)
            while b"ready" not in await first.stderr.readline():
                pass
            found.go()
            await found.told()
            ballast.unlink()
            while (disk / "workers" / f"{first.pid}.json").read_text() == before:  # noqa: ASYNC110 - another's file
                await asyncio.sleep(0.01)
            await found.stop()
        return found

    with small_disk(tmp_path / "disk", "2m") as disk:
        found = play(scenario(disk))
    assert found.ends() == [[("failed", "app")]]
    assert found.starts() == 1


@pytest.mark.parametrize("when", ["while its successor is tried", "while there is nobody"])
def test_a_drain_comes_before_an_upgrade(tmp_path: Path, when: str) -> None:
    """A signal that comes while the worker is being replaced waits for the one that follows, and so does a wish."""
    slow = tmp_path / "slow"  # no shell: that would let through what is held back
    slow.write_text(SLOW.format(python=sys.executable, place=str(tmp_path), tried="tried" in when))
    slow.chmod(0o755)

    async def scenario() -> tuple[int, World]:
        async with world(tmp_path) as found:
            first = await found.start()
            found.give(task_id="stops.100")
            await found.here(1)
            await found.running()
            asking = await worker(tmp_path, "upgrade", "--python", str(slow))
            while not (tmp_path / "there").exists():  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(0.01)
            for number in (signal.SIGUSR1, signal.SIGTERM):
                first.send_signal(number)
            found.go()
            if "tried" in when:
                await found.told()
            (tmp_path / "on").touch()
            code, _, err = await output(first)
            assert code == 0, err
            return (await output(asking))[0], found

    code, found = play(scenario())
    assert [told[-1] for told in found.ends()] == [("checkpointed", None)]
    assert code == 1 or "nobody" in when  # then it may have become another, and been seen, before it was drained
    assert not [*(tmp_path / "workers").iterdir()]
