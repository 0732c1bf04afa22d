"""A worker is killed at each step of a conversation and of an adoption, and the next one goes on from there.

The steps are points in the code (`supervisor.points`): around each read from a child and each send to it, where a
record of its slate is turned, in the middle of adopting, and in the last moment before an upgrade.
"""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from supervisor.journal_files import folder_of, read
from supervisor.upgrading import Wish, write
from tests.system.test_adoption import World, world
from tests.system.test_commands import PLAIN, output
from tests.system.world import play

pytestmark = pytest.mark.slow

STEPS = [f"slate.{step}@{count}" for step in ("read", "heard", "said", "sent", "turned") for count in (1, 4)]


def waiting_in(folder: Path) -> list[str]:
    """Give a program that says that it is there, and ends with 5 when it is let go."""
    return ["sh", "-c", f"echo here; until [ -e {folder / 'go'} ]; do sleep 0.02; done; exit 5"]


async def crashed(found: World, point: str) -> None:
    """Start a worker that is to die at this point, and wait until it has."""
    process = await found.start(TASKHAND_CRASH=point)
    found.give(task_id="other", command=waiting_in(found.folder), **PLAIN)
    await found.here(1)  # and not in the moment of its start, in which it may be lost: that is not what dies here
    await found.running()
    found.give(task_id="read.6")
    code, _, complaints = await output(process)
    assert code == -signal.SIGKILL, complaints


async def finished(found: World) -> None:
    """Have another worker take over until all is told."""
    found.go()
    await found.start()
    await found.told()
    await found.children_left(0)
    await found.stop()


def judge(found: World, point: str, record_property: Any) -> None:
    """Hold what has to hold, and put it into the table."""
    runs = [sum(call.path.endswith(f"{each['ti']['id']}/run") for call in found.api.calls) for each in found.given]
    invariants = {
        "told": sorted(found.ends()) == [[("failed", "app")], [("success", None)]],
        "one content": all(len(told) == 1 for told in found.ends()),
        "run once": max(runs) <= 2,  # asked again, when the answer had come and had not been acted on
        "nothing owed": read(folder_of(found.folder)).story.entries == {},
        "no folder left": not [*(found.folder / "tmp").iterdir()],
    }
    record_property("kill point", (point, "both", "success, app", invariants))
    assert all(invariants.values()), (invariants, found.ends())


@pytest.mark.parametrize("point", STEPS)
def test_a_death_in_a_conversation_leaves_no_question_open(tmp_path: Path, point: str, record_property: Any) -> None:
    async def scenario() -> World:
        async with world(tmp_path) as found:
            found.api.variables["k"] = "v"
            await crashed(found, point)
            await finished(found)
        return found

    judge(play(scenario()), point, record_property)


@pytest.mark.parametrize("point", ["adoption.adopted@1", "adoption.adopted@2", "slate.turned@1", "worker.replaced"])
def test_a_death_in_an_adoption_is_followed_by_another_one(tmp_path: Path, point: str, record_property: Any) -> None:
    async def scenario() -> World:
        async with world(tmp_path) as found:
            found.api.variables["k"] = "v"
            first = await found.start(TASKHAND_CRASH="worker.replaced" if point == "worker.replaced" else "")
            found.give(task_id="meanwhile.read.6")
            found.give(task_id="other", command=waiting_in(tmp_path), **PLAIN)
            await found.here(2)
            await found.running()
            if point == "worker.replaced":
                write(tmp_path, first.pid, Wish())
                os.kill(first.pid, signal.SIGUSR1)
                assert (await output(first))[0] == -signal.SIGKILL
            else:
                await found.kill()
                found.go()
                process = await found.start(TASKHAND_CRASH=point, ready=False)
                assert (await output(process))[0] == -signal.SIGKILL
            await finished(found)
        return found

    judge(play(scenario()), f"{point}, adopting" if "slate" in point else point, record_property)
