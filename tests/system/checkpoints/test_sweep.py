"""Proof 2: whoever dies at whichever step of a save or of the last word, the next attempt begins from a whole record.

It is one that was acknowledged or at least asked for, never older than the last that was acknowledged.
"""

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.server.http.live import serving
from tests.system.checkpoints.worlds import World, world
from tests.system.leaving import processes_of

pytestmark = pytest.mark.slow

FLOW = Path(__file__).with_name("sweeping.py")
SPEC = {"task_id": "steps", "retries": 20, "retry_delay_s": 0.0, "resume_limit": 20}
CHILD = (
    "child.blob.written", "child.blob.renamed", "child.save.blob-kept", "child.save.acknowledged", "child.end.asked",
    "child.end.acknowledged",
)  # fmt: skip
WORKER = ("worker.save.heard", "worker.save.told", "worker.end.heard", "worker.end.told")
SERVER = (
    "server.save.asked", "server.save.written", "server.save.committed", "server.end.asked", "server.end.committed",
)  # fmt: skip


def deadly(point: str) -> str:
    return point if ".end." in point else f"{point}@3"


def told(place: World) -> None:
    """Hold what was written down."""
    acknowledged = asked = 0
    notes = [line.split() for line in (place.folder / "notes").read_text().splitlines()]
    for word, text in notes:
        step = int(text)
        if word == "began":
            assert acknowledged <= step <= asked
        elif word == "asked":
            asked = max(asked, step)
        else:
            acknowledged = step
    assert acknowledged == 12
    assert place.instance("steps", "sweeping")["state"] == "success"


@pytest.mark.parametrize("point", [*CHILD, *WORKER])
def test_a_child_or_a_worker_dies(tmp_path: Path, point: str) -> None:
    with world(tmp_path, lease_s=1.0) as place:
        place.submit(SPEC, file=FLOW, flow="sweeping", conf={"to": 12})
        machine = place.machine(TASKHAND_CRASH=deadly(point))
        place.work.until(5, 2.0)
        machine.process.send_signal(signal.SIGTERM)
        machine.process.wait(30)
        machine.perish()
        place.machine()
        assert place.end("sweeping") == "success"
        told(place)


def test_a_worker_dies_before_it_has_written_down_that_there_is_a_checkpoint(tmp_path: Path) -> None:
    """The server has one, so the next worker tells of a stop on it, and no retry is spent."""
    with world(tmp_path, lease_s=30.0) as place:
        place.submit(SPEC, file=FLOW, flow="sweeping", conf={"to": 12})
        machine = place.machine(TASKHAND_CRASH="worker.save.told")
        assert machine.process.wait(30) == -signal.SIGKILL
        for pid in processes_of(machine.process.pid):  # nobody is left to adopt
            os.kill(pid, signal.SIGKILL)
        place.machine()
        assert place.end("sweeping") == "success"
        told(place)
        assert place.instance("steps", "sweeping")["try_number"] == 1
        assert "told_checkpointed" in [event["what"] for event in place.story("steps", "sweeping")]


@pytest.mark.parametrize("point", SERVER)
def test_a_server_dies(tmp_path: Path, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its successor has the same address, and the worker, which was asked to stop, tells that one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    monkeypatch.setenv("TASKHAND_CRASH", deadly(point))
    with world(tmp_path, port=port) as place:
        monkeypatch.delenv("TASKHAND_CRASH")
        place.submit(SPEC, file=FLOW, flow="sweeping", conf={"to": 12})
        machine = place.machine()
        place.work.until(5, 1.0)
        machine.process.send_signal(signal.SIGTERM)
        os.waitid(os.P_PID, place.live.process.pid, os.WEXITED | os.WNOWAIT)
        with serving(tmp_path / "home", "--port", port):
            assert machine.process.wait(40) == 0
            place.machine()
            assert place.end("sweeping") == "success"
            told(place)
