"""What `worker demo` does: real processes on this machine, in a folder of their own, and what was seen of them.

Every claim is checked by what the server's record says afterwards, as `worker why` would tell it, and not by what the
programs printed.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from supervisor.settings import secluded

READY_S = 60.0
STOP_S = 40.0
WAIT_S = 60.0
STEPS = 60
"""Of the job; the one whose checkpoint was under way when its worker was stopped may be done twice."""
STORY = ["run", "told_checkpointed", "resume_due", "run", "told_success"]
"""What the timeline says of the job, but for its checkpoints and its ways through the queue."""
ENOUGH = 20
"""Steps before its worker is stopped."""


class DemoFailed(Exception):
    """A program that did not come up, or a call that was refused: nothing can be claimed or observed."""


class Seen(Struct, frozen=True):
    """One claim, and what was observed."""

    claim: str
    observed: str
    true: bool


class Tour:
    """The programs of one demo. `tell` gets a line for each thing that happens."""

    def __init__(self, folder: Path, flows: str, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._flows = flows
        self._tell = tell
        self._environment = secluded(folder)

    def run(self) -> list[Seen]:
        """Show everything, and give what was seen."""
        with self._started("server", "--port", "0"):
            self._tell("a server is ready, with its own database")
            with self._started("run", "--name", "first") as first:
                self._tell("a worker is ready")
                seen = [*self._flow(), *self._guests()]
                run = self._begin_job()
                self._tell(f"the job has done {self._steps()} of its steps: its worker gets SIGTERM")
                first.terminate()
                first.wait(STOP_S)
            with self._started("run", "--name", "second"):
                self._tell("another worker is ready")
                seen += self._end_job(run)
        return seen

    def _flow(self) -> list[Seen]:
        self._tell("a flow runs: a mapped task, a retry, a skip, a shell script")
        run = self._submit("tour", "--wait")
        rows = self._instances(run)
        states = {name: row["state"] for name, row in rows.items()}
        mapped = [states[f"square[{index}]"] for index in range(4)]
        return [
            _equal("a task runs once for each item of a list", mapped, ["success"] * 4),
            _equal("a failure is tried again", (states["shaky"], rows["shaky"]["try_number"]), ("success", 2)),
            _equal("a task may skip itself", states["not_today"], "skipped"),
            _equal("a shell script is a task", states["greeting"], "success"),
        ]

    def _guests(self) -> list[Seen]:
        self._tell("a task writes what no supervisor can read, beside one that does not")
        rows = self._instances(self._submit("guests", "--wait"))
        poison = (rows["poison"]["state"], rows["poison"]["kind"])
        return [
            _equal("a poisonous frame fails its own attempt", poison, ("failed", "protocol")),
            _equal("and nobody else's", rows["bystander"]["state"], "success"),
        ]

    def _begin_job(self) -> str:
        self._tell("a job begins that saves a checkpoint with each step")
        run = self._submit("job", "--param", f"tally={self._tally}")
        _until(lambda: self._steps() >= ENOUGH, "the job does not get on")
        return run

    def _end_job(self, run: str) -> list[Seen]:
        def row() -> dict[str, Any]:
            return self._instances(run)["count"]

        _until(lambda: row()["state"] in ("success", "failed"), "the job does not end")
        events = self._call("why", f"job/{run}/count", "--json")["events"]
        told = [event["what"] for event in events if event["what"] in STORY]
        done = row()
        moved = (
            f"{self._steps()} steps in all, {done['state']} on the {done['worker']} worker, try {done['try_number']}"
        )
        return [
            _equal("SIGTERM becomes a checkpoint, and is resumed", told, STORY),
            Seen("another worker goes on from there", moved, done["worker"] == "second" and self._steps() <= 61),  # noqa: PLR2004 - one step may be done twice
            _equal("and no retry is spent", (done["state"], done["try_number"]), ("success", 1)),
        ]

    @property
    def _tally(self) -> Path:
        return self._folder / "tally"

    def _steps(self) -> int:
        return self._tally.stat().st_size if self._tally.exists() else 0

    def _submit(self, flow: str, *options: str) -> str:
        run: str = self._call("submit", f"{self._flows}:{flow}", "--json", *options)["run_id"]
        return run

    def _instances(self, run: str) -> dict[str, dict[str, Any]]:
        rows = self._call("ps", "--run", run, "--json")["instances"]
        return {row["task_id"] + (f"[{row['map_index']}]" if row["map_index"] >= 0 else ""): row for row in rows}

    def _call(self, *arguments: str) -> dict[str, Any]:
        done = subprocess.run(  # noqa: S603 - the arguments are written above
            [sys.executable, "-m", "supervisor", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        if not done.stdout:
            raise DemoFailed(f"worker {' '.join(arguments)}: {done.stderr.strip()}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    @contextmanager
    def _started(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start a program of ours, wait until it says that it is ready, and stop it afterwards."""
        reading, writing = os.pipe()
        log = self._folder / f"{'-'.join(arguments[:1] + arguments[2:])}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - the arguments are written above
                [sys.executable, "-m", "supervisor", *arguments, "--ready-fd", str(writing)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[writing],
            )
        os.close(writing)
        try:
            said = select.select([reading], [], [], READY_S)[0] and os.read(reading, 1)
            os.close(reading)
            if not said:
                raise DemoFailed(f"worker {' '.join(arguments)} did not come up: {log.read_text()[-2000:]}")
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(come: Callable[[], bool], otherwise: str) -> None:
    """Look again and again: a demo watches from outside, where nothing announces a step."""
    for _ in range(int(WAIT_S / 0.1)):
        if come():
            return
        select.select([], [], [], 0.1)
    raise DemoFailed(otherwise)


def _equal(claim: str, observed: object, wanted: object) -> Seen:
    text = ", ".join(map(str, observed)) if isinstance(observed, list | tuple) else str(observed)
    return Seen(claim, text, observed == wanted)
