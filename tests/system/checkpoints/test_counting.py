"""Proof 1: a task that is stopped again and again does its work once, and a little more for each stop."""

import random
from pathlib import Path

import pytest

from tests.system.checkpoints.worlds import Machine, World, world

pytestmark = pytest.mark.slow

EACH = 10
FLOW = Path(__file__).with_name("counting.py")
# Fifty deaths in a thousand steps come in clusters; a machine that dies before the next save is a stall like any other.
COUNT = {"task_id": "count", "retries": 1, "retry_delay_s": 0.0, "resume_limit": 20}
AFTER = {"task_id": "after", "upstreams": ["count"], "args": [{"kind": "xcom", "name": "counted", "task_id": "count"}]}


def counted(place: World, total: int, kills: int, seed: int, *, notice: bool) -> None:
    """Stop its worker at seeded random moments of the work, and hold all that is promised."""
    rng = random.Random(seed)  # noqa: S311 - moments, not secrets
    moments = sorted(rng.sample(range(EACH + 1, total), kills))
    place.submit(COUNT, AFTER, file=FLOW, flow="counting", conf={"to": total})
    for moment in moments:
        machine = place.machine()
        assert place.work.until(moment) or place.instance("count", "counting")["state"] == "success"
        place.work.read(rng.random() * 0.02)
        stopped(machine, notice=notice)
    place.machine()
    assert place.end("counting") == "success"
    place.work.until(10**9, 0.1)
    found = place.instance("count", "counting")
    assert found["state"] == "success"
    assert found["try_number"] == 1
    assert place.work.done <= total + kills * EACH
    assert place.work.done >= total
    ends = [event["what"] for event in place.story("count", "counting") if event["what"].startswith("told_")]
    assert ends.count("told_success") == 1
    assert set(ends) <= {"told_success", "told_checkpointed"}


def stopped(machine: Machine, *, notice: bool) -> None:
    if notice:
        assert machine.stop() == 0
    else:
        machine.perish()


def test_sigterm_costs_ten_steps_at_most(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        counted(place, 300, 8, 1, notice=True)


def test_sigkill_of_everything_costs_ten_steps_at_most(tmp_path: Path) -> None:
    with world(tmp_path, lease_s=1.0) as place:
        counted(place, 300, 5, 2, notice=False)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("notice", [True, False], ids=["SIGTERM", "SIGKILL"])
def test_fifty_times(tmp_path: Path, seed: int, notice: bool) -> None:  # noqa: FBT001 - a parameter
    with world(tmp_path, lease_s=1.0) as place:
        counted(place, 1000, 50, seed, notice=notice)
