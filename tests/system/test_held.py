"""A lease and who holds it, with a real server and real workers: what is killed, cut off, or away for long."""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.http.live import serving
from tests.system.checkpoints.worlds import PATIENCE_S, World, world
from tests.system.test_outbox import owed
from tests.system.world import measured

pytestmark = pytest.mark.slow

ASKS = Path(__file__).with_name("asking.py")
OFTEN: dict[str, Any] = {"TASKHAND_LIMITS_HEARTBEAT_S": "0.2"}
SLEEPS = {"runtime": "plain", "command": ["sh", "-c", 'printf . >"$WORK"; exec sleep 1000'], "pool": "one"}


def submitted(place: World, **first: object) -> None:
    assert place.live.people("POST", "/pools", json={"name": "one", "slots": 1}).status_code == 204
    place.submit({"task_id": "first", **SLEEPS, **first}, {"task_id": "second", "priority": -1, **SLEEPS})
    place.machine(**OFTEN)
    assert place.work.until(1)


@pytest.mark.parametrize("then", ["kill", "clear"])
def test_the_slot_of_what_was_killed_is_free_as_soon_as_its_process_is_gone(tmp_path: Path, then: str) -> None:
    """And not when its lease ends, which is a minute later."""
    with world(tmp_path, lease_s=60.0) as place:
        submitted(place)
        first = place.instance("first")
        killed = time.monotonic()
        assert place.live.people("POST", f"/task-instances/{first['id']}/{then}", json={}).status_code == 200
        assert place.work.until(2)
        took = time.monotonic() - killed
        measured(f"{then}: the pool's only slot was taken again after {took:.2f} s, beats every 0.2 s, a lease of 60 s")
        assert took < 10.0
        place.until("first" if then == "clear" else "second", "running")
        whats = [event["what"] for event in place.story("first")]
        assert ("told_terminated" if then == "clear" else "gone") in whats


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@contextlib.contextmanager
def back_again(place: World, *arguments: str) -> Iterator[None]:
    """Another server on the same state and address, when the first one was killed."""
    with serving(place.folder / "home", *arguments) as live:
        place.live = live
        yield


def gone_for(place: World, seconds: float) -> None:
    place.live.process.kill()
    place.live.process.wait()
    threading.Event().wait(seconds)


BRIEF = ("--token-life", "1")
"""Good for two seconds, with the leeway; and renewed with each answer."""


@pytest.mark.parametrize("task", ["asking", "waiting"])
def test_a_token_outlives_an_outage_that_is_longer_than_its_life(tmp_path: Path, task: str) -> None:
    """Whatever is said first when the server is back: a question, or a heartbeat."""
    port = free_port()
    with world(tmp_path, *BRIEF, lease_s=30.0, port=port) as place:
        place.submit({"task_id": task, "outage": "keep"}, file=ASKS, flow="held")
        place.machine(**({} if task == "asking" else OFTEN))
        assert place.work.until(3)
        gone_for(place, 3.5)
        (tmp_path / "enough").touch()
        with back_again(place, *BRIEF, "--lease", "30", "--port", port):
            assert place.end("held") == "success"
            whats = [event["what"] for event in place.story(task, "held")]
            assert whats == ["ready", "claim", "run", "told_success"]


def test_an_outcome_is_delivered_by_the_next_worker_although_the_time_of_its_token_is_over(tmp_path: Path) -> None:
    port = free_port()
    with world(tmp_path, *BRIEF, lease_s=30.0, port=port) as place:
        script = 'printf . >"$WORK"; until [ -e "$WORK.enough" ]; do sleep 0.05; done'
        place.submit({"task_id": "t", "runtime": "plain", "command": ["sh", "-c", script]})
        machine = place.machine(**OFTEN)
        assert place.work.until(1)
        gone_for(place, 0.0)
        (tmp_path / "work.enough").touch()
        while owed(tmp_path / "state") < 1:
            place.work.read(0.05)
        machine.perish()
        place.machine(**OFTEN)
        place.work.read(3.5)
        with back_again(place, *BRIEF, "--lease", "30", "--port", port):
            assert place.end() == "success"
            whats = [event["what"] for event in place.story("t")]
            assert whats == ["ready", "claim", "run", "told_success"]


def lives(folder: Path) -> dict[int, list[float]]:
    """Give the moments at which each try was seen to run."""
    found: dict[int, list[float]] = {}
    for line in (folder / "lives").read_text().splitlines():
        number, _, moment = line.partition(" ")
        found.setdefault(int(number), []).append(float(moment))
    return found


def test_an_attempt_has_ended_before_another_begins_although_its_worker_cannot_act(tmp_path: Path) -> None:
    """The worker is stopped (SIGSTOP) past the end of its lease, and wakes up late."""
    with world(tmp_path, lease_s=3.0) as place:
        place.submit({"task_id": "alone", "retries": 1, "retry_delay_s": 0.0}, file=ASKS, flow="held")
        first = place.machine(**OFTEN)
        assert place.work.until(10)
        place.machine(home=tmp_path / "second", **OFTEN)
        first.process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        while 2 not in lives(tmp_path):
            assert place.work.read(PATIENCE_S)
        again = time.monotonic() - stopped
        (tmp_path / "enough").touch()
        assert place.end("held") == "success"
        first.process.send_signal(signal.SIGCONT)
        assert first.stop() == 0
        found = lives(tmp_path)
        ended, began = found[1][-1], found[2][0]
        measured(f"stopped with a lease of 3 s: gone {began - ended:.2f} s before another began, {again:.2f} s after")
        assert ended < began
        whats = [event["what"] for event in place.story("alone", "held")]
        assert whats.count("told_success") == 1
