"""A network that drops a fifth, doubles a tenth and delays all: each task runs once, and each outcome is right."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.system.checkpoints.worlds import World, world
from tests.system.lossy import Weather, proxied
from tests.system.world import measured

pytestmark = pytest.mark.slow

FLOW = Path(__file__).with_name("odd.py")
CALM: dict[str, Any] = {"TASKHAND_CHECKPOINTS_MEMORY_PRESSURE": "0", "TASKHAND_LIMITS_HEARTBEAT_S": "0.25"}
"""Nobody is asked to yield because other tests want memory. Beats are as dense as a lease of one second makes them."""


def again(place: World, instances: list[dict[str, Any]]) -> list[list[str]]:
    """Give the stories of those that ran more than once."""
    stories = [place.live.people("GET", f"/task-instances/{each['id']}/timeline").json() for each in instances]
    told = [[f"{event['at']} {event['what']}: {event['why']}" for event in story["events"]] for story in stories]
    return [lines for lines in told if sum(" run: " in line for line in lines) > 1]


def exercise(folder: Path, count: int, slots: int, weather: Weather, lease_s: float) -> None:
    with world(folder, lease_s=lease_s) as place, proxied(place.live.url, weather) as proxy:
        place.submit(
            {"task_id": "numbers"},
            {
                "task_id": "odd",
                "upstreams": ["numbers"],
                "map_over": "numbers",
                "args": [{"kind": "mapped", "name": "number", "task_id": "numbers"}],
                "trigger_rule": "all_success",
            },
            file=FLOW,
            flow="lossy",
            conf={"count": count},
        )
        began = time.monotonic()
        place.machine("--api", f"{proxy.url}/execution", "--slots", str(slots), **CALM)
        assert place.end("lossy") == "failed"  # a third of the tasks does fail
        took = time.monotonic() - began
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = {"instances": [None]}
        while page["instances"]:
            page = place.live.people("GET", f"/task-instances?flow=lossy&task=odd&limit=500&offset={len(found)}").json()
            found += page["instances"]
        assert len(found) == count
        wanted = ("success", "failed", "skipped")
        for each in found:
            assert (each["state"], each["try_number"]) == (wanted[each["map_index"] % 3], 1), each
        place.work.read()
        assert place.work.done == count, again(place, found)  # each has run once
        measured(f"{count} tasks, {slots} at a time: {took:.0f} s; the network: {dict(proxy.seen)}")
        assert Counter(each["state"] for each in found)["success"] == len(range(0, count, 3))


def test_a_bad_network_makes_sixty_tasks_slow_and_none_wrong(tmp_path: Path) -> None:
    exercise(tmp_path, 60, 60, Weather(delay_s=0.05), 10.0)


@pytest.mark.soak
def test_a_bad_network_makes_a_thousand_tasks_slow_and_none_wrong(tmp_path: Path) -> None:
    exercise(tmp_path, 1000, 200, Weather(), 60.0)
