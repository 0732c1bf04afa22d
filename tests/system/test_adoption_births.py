"""A worker is killed in the moment in which a child of its begins: the child is known all the same, and adopted."""

import signal
from pathlib import Path
from typing import Any

import pytest

from supervisor.journal_files import folder_of, read
from tests.system.test_adoption import World, world
from tests.system.test_adoption_points import waiting_in
from tests.system.test_commands import PLAIN, output
from tests.system.world import play

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("point", ["child.asked", "child.spawned"])
@pytest.mark.parametrize("kind", ["frames", "plain"])
def test_who_is_born_as_its_worker_dies_is_adopted(tmp_path: Path, kind: str, point: str) -> None:
    task: dict[str, Any] = {"task_id": "read.3"}
    if kind == "plain":
        task = {"command": waiting_in(tmp_path), **PLAIN}

    async def scenario() -> World:
        async with world(tmp_path) as found:
            found.api.variables["k"] = "v"
            first = await found.start(TASKHAND_CRASH=point)
            ti = found.give(**task)
            code, _, complaints = await output(first)
            assert code == -signal.SIGKILL, complaints
            found.go()
            await found.start()
            await found.api.until(lambda api: ti in api.ends)
            await found.children_left(0)
            await found.stop()
        return found

    found = play(scenario())
    assert "attempts adopted from the last supervisor: 1" in found.complaints
    assert found.ends() == [[("failed", "app")] if kind == "plain" else [("success", None)]]
    assert found.starts() == 1
    assert read(folder_of(tmp_path)).story.entries == {}
