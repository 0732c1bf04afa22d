"""Proof 1: a task that is stopped again and again does its work once, and a little more for each stop."""

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.system.checkpoints.worlds import PATIENCE_S, Machine, World, world
from tests.system.test_kill_points import kill_family

pytestmark = pytest.mark.slow

EACH = 10
FLOW = Path(__file__).with_name("counting.py")
# Fifty deaths in a thousand steps come in clusters; a machine that dies before the next save is a stall like any other.
COUNT = {"task_id": "count", "retries": 1, "retry_delay_s": 0.0, "resume_limit": 20}
AFTER = {"task_id": "after", "upstreams": ["count"], "args": [{"kind": "xcom", "name": "counted", "task_id": "count"}]}


def counted(place: World, spec: dict[str, Any], total: int, kills: int, seed: int, *, notice: bool) -> None:  # noqa: PLR0913 - the proof's own
    """Stop its worker at seeded random moments of the work, and hold all that is promised."""
    rng = random.Random(seed)  # noqa: S311 - moments, not secrets
    moments = sorted(rng.sample(range(EACH + 1, total), kills))
    place.submit({**COUNT, **spec}, AFTER, file=FLOW, flow="counting", conf={"to": total})
    for moment in moments:
        machine = place.machine(TASKHAND_CHECKPOINTS_EVERY_S="0.01")
        assert place.work.until(moment) or place.instance("count", "counting")["state"] == "success"
        place.work.read(rng.random() * 0.02)
        stopped(machine, notice=notice)
    place.machine()
    assert place.end("counting") == "success"
    place.work.until(10**9, 0.1)
    found = place.instance("count", "counting")
    assert found["state"] == "success"
    assert found["try_number"] == 1
    assert total <= place.work.done <= total + kills * EACH
    ends = [event["what"] for event in place.story("count", "counting") if event["what"].startswith("told_")]
    assert ends.count("told_success") == 1
    # One that was asked to stop before it had begun goes back to the queue.
    assert set(ends) <= {"told_success", "told_checkpointed", "told_reschedule"}


def stopped(machine: Machine, *, notice: bool) -> None:
    if notice:
        assert machine.stop() == 0
    else:
        machine.perish()


HERE = Path(__file__).parent


def runtimes(total: int) -> dict[str, dict[str, Any]]:
    return {
        "python": {},
        "command": {"runtime": "command", "command": [sys.executable, str(HERE / "foreign.py"), str(total)]},
        "plain": {"runtime": "plain", "command": ["sh", str(HERE / "count.sh"), str(total)]},
    }


@pytest.mark.parametrize("runtime", ["python", "command", "plain"])
def test_sigterm_costs_ten_steps_at_most(tmp_path: Path, runtime: str) -> None:
    with world(tmp_path) as place:
        counted(place, runtimes(300)[runtime], 300, 6, 1, notice=True)


@pytest.mark.parametrize("runtime", ["python", "command", "plain"])
def test_sigkill_of_everything_costs_ten_steps_at_most(tmp_path: Path, runtime: str) -> None:
    """A plain program's directory is looked at from time to time; what it renamed since is taken over by the next."""
    with world(tmp_path, lease_s=1.0) as place:
        counted(place, runtimes(300)[runtime], 300, 4, 2, notice=False)


def test_what_a_plain_program_had_renamed_when_its_machine_died_is_kept_by_the_next_worker(tmp_path: Path) -> None:
    """Nobody had looked at its directory yet, so the server knew of no checkpoint."""
    with world(tmp_path, lease_s=30.0) as place:
        place.submit({**COUNT, **runtimes(300)["plain"]}, AFTER, file=FLOW, flow="counting", conf={"to": 300})
        machine = place.machine(TASKHAND_CHECKPOINTS_EVERY_S="3600")
        assert place.work.until(5 * EACH)
        machine.perish()
        place.machine()
        assert place.end("counting") == "success"
        place.work.until(10**9, 0.1)
        found = place.instance("count", "counting")
        assert (found["state"], found["try_number"]) == ("success", 1)
        assert place.work.done <= 300 + 2 * EACH
        assert "told_checkpointed" in [event["what"] for event in place.story("count", "counting")]


def test_what_was_renamed_after_a_save_whose_answer_nobody_heard_is_taken_over(tmp_path: Path) -> None:
    """The server has the record; the worker dies before it notes so, and its program goes on until the machine dies."""
    with world(tmp_path, lease_s=1.0) as place:
        place.submit({**COUNT, **runtimes(300)["plain"]}, AFTER, file=FLOW, flow="counting", conf={"to": 300})
        machine = place.machine(TASKHAND_CHECKPOINTS_EVERY_S="0.01", TASKHAND_CRASH="worker.save.told")
        machine.process.wait(PATIENCE_S)
        place.work.read()
        assert place.work.until(min(place.work.done + 5 * EACH, 290))
        kill_family(machine.process.pid)
        while place.instance("count", "counting")["state"] == "running":
            place.work.read(0.02)
        place.machine()
        assert place.end("counting") == "success"
        place.work.until(10**9, 0.1)
        assert place.work.done <= 300 + 2 * EACH


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("runtime", ["python", "command", "plain"])
@pytest.mark.parametrize("notice", [True, False], ids=["SIGTERM", "SIGKILL"])
def test_fifty_times(tmp_path: Path, runtime: str, notice: bool) -> None:  # noqa: FBT001 - a parameter
    with world(tmp_path, lease_s=1.0) as place:
        counted(place, runtimes(1000)[runtime], 1000, 50, 3, notice=notice)
