"""A wall clock that jumps, under a real worker: deadlines, leases and graces are counted by the one that does not.

The worker, its keeper and its children are shown a wall clock that is a day off from one moment to the next, by a few
lines of C that are loaded before the C library. The server keeps the true time.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.system.checkpoints.worlds import Machine, World, world

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None, reason="the clock is made with a C compiler"),
]

DAY = 86_400
FLOW = """
import os, threading, time
from pathlib import Path
from runner import Context, flow, task

def worked() -> None:
    with open(os.environ["WORK"], "w") as work:
        work.write(".")

@task
def stops(ctx: Context) -> str:
    def hook() -> None:
        worked()
        Path(os.environ["GO"]).read_text()  # returns when the clock has jumped
        threading.Event().wait(0.5)
        Path(os.environ["GO"]).with_name("hooked").touch()
    ctx.on_stop(hook)
    worked()
    while not ctx.stopping:
        threading.Event().wait(0.02)
    while abs(time.time() - ctx.deadline.timestamp()) < 3600:
        threading.Event().wait(0.02)
    return "finished"

@flow
def f() -> None:
    stops()
"""


class Clock:
    """The wall clock of the worker and all it starts."""

    def __init__(self, place: World) -> None:
        self.place = place
        self._skew = place.folder / "skew"
        self._skew.write_text("0")
        library = place.folder / "skew.so"
        source = Path(__file__).with_name("skew.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)  # noqa: S607 - the one on PATH
        self._env = {"LD_PRELOAD": str(library), "SKEW": str(self._skew), "GO": str(place.folder / "go")}

    def machine(self) -> Machine:
        table = "\n".join(f"{name} = {json.dumps(value)}" for name, value in self._env.items())
        (self.place.folder / "taskhand.toml").write_text(f"[keeper.env]\n{table}\n")
        return self.place.machine(TASKHAND_LIMITS_HEARTBEAT_S="0.2", **self._env)  # type: ignore[arg-type]  # none of them is `home`

    def jumps(self, seconds: int) -> None:
        half = self._skew.with_name("skew.new")
        half.write_text(str(seconds))
        half.replace(self._skew)


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[Clock]:
    with world(tmp_path, lease_s=2.0) as place:
        yield Clock(place)


def plain(script: str, **more: object) -> dict[str, object]:
    return {"runtime": "plain", "command": ["sh", "-c", script], **more}


def ended(place: World, task: str) -> dict[str, datetime]:
    return {event["what"]: datetime.fromisoformat(event["at"]) for event in place.story(task)}


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_jump_neither_ends_an_attempt_nor_keeps_one_alive(clock: Clock, jump: int) -> None:
    place = clock.place
    place.submit(
        {"task_id": "lives", **plain('printf . >"$WORK"; sleep 4')},
        {"task_id": "late", **plain('printf . >"$WORK"; sleep 100', timeout_s=2.5)},
    )
    machine = clock.machine()
    assert place.work.until(2)
    clock.jumps(jump)
    assert place.end() == "failed"
    assert place.instance("lives")["state"] == "success"
    found = place.instance("late")
    assert (found["state"], found["kind"]) == ("failed", "timeout")
    story = ended(place, "late")
    assert 2.0 < (story["told_failed"] - story["run"]).total_seconds() < 15.0
    assert "lost_fail" not in ended(place, "lives")
    clock.jumps(0)
    assert machine.stop() == 0
    lines = [line for file in (place.folder / "state").rglob("1-*.jsonl") for line in file.read_text().splitlines()]
    stamps = [datetime.fromisoformat(json.loads(line)["timestamp"]) for line in lines]
    assert max(abs((stamp - datetime.now(UTC)).total_seconds()) for stamp in stamps) > DAY / 2  # where it is only told


def test_a_jump_does_not_cut_a_grace(clock: Clock) -> None:
    place = clock.place
    go = place.folder / "go"
    os.mkfifo(go)
    file = place.folder / "flow.py"
    file.write_text(FLOW)
    place.submit({"task_id": "stops"}, file=file)
    machine = clock.machine()
    assert place.work.until(1)
    machine.process.terminate()
    assert place.work.until(2)
    clock.jumps(DAY)
    go.write_text("go")
    assert machine.process.wait(40) == 0
    assert (place.folder / "hooked").exists()
    assert place.end() == "success"
