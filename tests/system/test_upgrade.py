"""A worker becomes its successor while its tasks run."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.minimal_api import Answer, Call, faulty
from tests.system.leaving import processes_of
from tests.system.test_adoption import COMMAND, World, parent_of, world
from tests.system.test_commands import PLAIN, output, worker
from tests.system.world import play

pytestmark = pytest.mark.slow


def test_an_upgrade_is_noticed_by_nobody_but_who_asked_for_it(tmp_path: Path) -> None:
    async def upgraded() -> dict[str, Any]:
        code, out, err = await output(await worker(tmp_path, "upgrade", "--json"))
        assert code == 0, err
        told: dict[str, Any] = json.loads(out)["workers"][0]
        return told

    async def scenario() -> tuple[World, list[dict[str, Any]], int]:
        async with world(tmp_path) as found:
            first = await found.start()
            wait = f"until [ -e {tmp_path / 'go'} ]; do sleep 0.02; done"
            found.give(task_id="meanwhile.read.5")
            found.give(task_id="meanwhile.say.success", **COMMAND)
            found.give(command=["sh", "-c", f"echo here; {wait}; echo bye; exit 5"], **PLAIN)
            found.api.variables["k"] = "v"
            await found.here(3)
            await found.running()
            told = [await upgraded() for _ in range(3)]
            keepers = sum(parent_of(pid) == first.pid for pid in processes_of(first.pid))
            found.go()
            await found.told()
            await found.children_left(0)
            await found.stop()
        return found, told, keepers

    found, told, keepers = play(scenario())
    assert [each["pid"] for each in told] == [found.workers[0].pid] * 3
    assert all(each["upgraded"] and each["gap_s"] > 0 for each in told)
    assert keepers == 2  # the one that holds them, and the one for those to come
    assert found.ends() == [[("success", None)], [("success", None)], [("failed", "app")]]
    assert found.starts() == 3


def test_what_is_being_started_is_started_before_the_worker_goes(tmp_path: Path) -> None:
    """The server counts it as running from its answer on, and no keeper knows of it yet: it was taken for lost."""

    async def scenario() -> World:
        async with world(tmp_path) as found:
            first = await found.start()

            def fault(call: Call) -> Answer | None:
                if not call.path.endswith("/run"):
                    return None
                first.send_signal(signal.SIGUSR1)
                return Answer(0, delay_s=0.3)

            with faulty(found.api, fault):
                wait = f"until [ -e {tmp_path / 'go'} ]; do sleep 0.02; done"
                found.give(command=["sh", "-c", f"echo here; {wait}"], **PLAIN)
                assert first.stderr is not None
                while b"adopted from the last supervisor: 1" not in await first.stderr.readline():
                    pass
            found.go()
            await found.told()
            await found.stop()
        return found

    found = play(scenario())
    assert (found.ends(), found.starts()) == ([[("success", None)]], 1)


def test_a_python_that_cannot_run_a_worker_replaces_none(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)

    async def scenario() -> tuple[list[tuple[int, str]], bool]:
        async with world(tmp_path) as found:
            first = await found.start()
            told = []
            for python in (str(bare), str(tmp_path / "absent")):
                code, out, _ = await output(await worker(tmp_path, "upgrade", "--python", python))
                told.append((code, out))
            lives = first.returncode is None
            await found.stop()
        return told, lives

    told, lives = play(scenario())
    assert [code for code, _ in told] == [1, 1]
    assert "is not replaced: its successor could not start: " in told[0][1]
    assert "absent cannot be executed: No such file or directory" in told[1][1]
    assert lives


def test_where_no_note_can_be_left_the_worker_stays(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, str, bool]:
        async with world(tmp_path) as found:
            first = await found.start()
            (tmp_path / "workers" / f"{first.pid}.upgrade").mkdir()
            code, _, err = await output(await worker(tmp_path, "upgrade"))
            lives = first.returncode is None
            await found.stop()
        return code, err, lives

    code, err, lives = play(scenario())
    assert (code, lives) == (1, True)
    assert err.startswith(f"Error: {tmp_path}: Is a directory; ")


def test_that_there_is_nobody_to_upgrade_is_said(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, str, str]:
        return await output(await worker(tmp_path, "upgrade"))

    assert play(scenario()) == (0, "", f"no worker runs on {tmp_path}; --state-dir names another\n")


def resident(pid: int) -> int:
    """Say how many bytes of memory a process has to itself."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


def descriptors(pid: int) -> int:
    """Count a process's descriptors."""
    return len([*Path(f"/proc/{pid}/fd").iterdir()])


@pytest.mark.parametrize("times", [8, pytest.param(50, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
def test_neither_memory_nor_descriptors_grow_with_upgrades(tmp_path: Path, times: int) -> None:
    async def scenario() -> tuple[list[int], list[int], int]:
        async with world(tmp_path) as found:
            first = await found.start()
            found.api.variables["k"] = "v"
            for _ in range(5):
                found.give(task_id="meanwhile.read.5")
            await found.here(5)
            await found.running()
            memory, files = [], []
            for _ in range(times):
                code, _, err = await output(await worker(tmp_path, "upgrade", "--json"))
                assert code == 0, err
                memory.append(resident(first.pid))
                files.append(descriptors(first.pid))
            keepers = sum(parent_of(pid) == first.pid for pid in processes_of(first.pid))
            found.go()
            await found.told()
            await found.children_left(0)
            await found.stop()
            assert found.ends() == [[("success", None)]] * 5
        return memory, files, keepers

    memory, files, keepers = play(scenario(), 500.0)
    assert keepers == 2
    assert memory[-1] - memory[1] < 2 * 1024 * 1024
    assert min(files[-3:]) <= files[1] + 2  # heartbeats are under way in some of these moments, each on a connection
