"""A keeper that was adopted is killed: its children run on, and how they end is known as far as the kernel tells."""

import os
import platform
import signal
from pathlib import Path

import pytest

from tests.system.leaving import processes_of
from tests.system.test_adoption import World, parent_of, world
from tests.system.test_adoption_points import waiting_in
from tests.system.test_commands import PLAIN, output, worker
from tests.system.world import play

pytestmark = pytest.mark.slow

TELLS = tuple(map(int, platform.release().split(".")[:2])) >= (6, 15)


@pytest.mark.parametrize("way", ["killed", "upgraded"])
@pytest.mark.skipif(not TELLS, reason="PIDFD_INFO_EXIT came with Linux 6.15")
def test_children_of_an_adopted_keeper_that_dies_end_as_they_end(tmp_path: Path, way: str) -> None:
    by_signal = [*waiting_in(tmp_path)[:2], waiting_in(tmp_path)[2].replace("exit 5", "kill -9 $$")]

    async def scenario() -> World:
        async with world(tmp_path) as found:
            first = await found.start()
            found.api.variables["k"] = "v"
            found.give(command=waiting_in(tmp_path), **PLAIN)
            found.give(command=by_signal, **PLAIN)
            found.give(command=[*by_signal[:2], by_signal[2].replace("kill -9 $$", "exit 0")], **PLAIN)
            found.give(task_id="meanwhile.read.3")
            await found.here(4)
            await found.running()
            [leader, *_] = [pid for pid in found.children() if os.getpgid(pid) == pid]
            keeper = parent_of(leader)
            if way == "killed":
                await found.kill()
                await found.start()
            else:
                code, _, err = await output(await worker(tmp_path, "upgrade"))
                assert code == 0, err
            assert keeper in processes_of(first.pid)
            os.kill(keeper, signal.SIGKILL)
            found.go()
            await found.told()
            await found.children_left(0)
            await found.stop()
        return found

    found = play(scenario())
    assert found.ends() == [[("failed", "app")], [("failed", "app")], [("success", None)], [("success", None)]]
    ended = [record for record in found.records() if record["event"] == "the attempt ended"]
    assert sorted(record["exit"] for record in ended if "signal" not in record) == [0, 0, 5]
    assert [record["signal"] for record in ended if "signal" in record] == [signal.SIGKILL]
