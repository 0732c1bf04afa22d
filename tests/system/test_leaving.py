"""A test that fails with a worker running leaves nobody."""

import os
from pathlib import Path

import pytest

from bench.minimal_api import MinimalApi
from tests.system.leaving import STARTED, Started, end_all, lives, processes_of
from tests.system.test_commands import workload
from tests.system.test_kill_points import started
from tests.system.world import play

pytestmark = pytest.mark.slow


def test_a_worker_its_keeper_and_their_children_are_ended(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, list[int]]:
        api = MinimalApi()
        process = await started(tmp_path, await api.start())
        api.queue(workload(api, task_id="progress"))
        await api.until(lambda api: "running" in api.states.values())
        family = processes_of(process.pid)
        ended = end_all()
        await process.wait()
        await api.stop()
        assert process.pid in ended
        return process.pid, family

    pid, family = play(scenario())
    assert len(family) >= 2
    assert processes_of(pid) == [each for each in family if lives(each)] == []


def test_a_number_that_is_another_s_by_now_is_left_alone() -> None:
    STARTED.append(Started(os.getppid(), 1))
    assert end_all() == []
