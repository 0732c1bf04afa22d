"""What `worker demo` does: real processes on this machine, in a folder of their own, and what was seen of them.

Every claim is checked by what the server's record says afterwards, as `worker why` tells it, and not by what the
programs printed.
"""

import select
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from supervisor.programs import STOP_S, Process, Programs, until

STEPS = 60
"""Of the job; the one whose checkpoint was under way when its worker was stopped may be done twice."""
ENOUGH = 20
"""Steps before its worker is stopped."""
LEASE_S = 60.0
"""Longer than the server is away: what happens at the end of a lease is another story."""
BY_THE_WAY = {"ready", "claim", "checkpoint"}
"""What a timeline says besides how an attempt began and ended."""
DIRECT = ["run", "told_success"]
RETRIED = ["run", "told_retry", "retry_due", *DIRECT]
RESUMED = ["run", "told_checkpointed", "resume_due", "run", "resumes_from", "told_success"]


class Seen(Struct, frozen=True):
    """One claim, and what was observed."""

    claim: str
    observed: str
    true: bool


class Pace(Struct, frozen=True):
    """How long things take: as one likes to look at them, or as a test does."""

    away_s: float
    """How long the server is away."""
    step_s: float
    """One step of the job."""


LEISURELY = Pace(away_s=20.0, step_s=0.1)
QUICK = Pace(away_s=1.0, step_s=0.02)


class Tour:
    """The programs of one demo. `tell` gets a line for each thing that happens, `show` what was seen of it."""

    def __init__(
        self,
        folder: Path,
        flows: str,
        tell: Callable[[str], None],
        pace: Pace = QUICK,
        show: Callable[[list[Seen]], None] = lambda _: None,
    ) -> None:  # fmt: skip - one line for what one tour has, one for who watches
        self._folder = folder
        self._flows = flows
        self._tell = tell
        self._show = show
        self._pace = pace
        self._seen: list[Seen] = []

    def run(self) -> list[Seen]:
        """Show everything, and give what was seen."""
        with Programs(self._folder) as self._programs:
            server = self._programs.start("server", "--port", "0", "--lease", str(LEASE_S))
            self._tell("a server is ready, with its own database")
            first = self._programs.start("run", "--name", "first")
            self._tell("a worker is ready")
            self._take(self._flow())
            self._take(self._guests())
            self._take(self._outage(server))
            seen, second = self._adoption(first)
            self._take(seen)
            run = self._begin_job()
            self._tell(f"the job has done {self._size('tally')} of its steps: its worker gets SIGTERM")
            second.terminate()
            second.wait(STOP_S)
            self._programs.start("run", "--name", "third")
            self._tell("a third worker is ready")
            self._take(self._end_job(run))
        return self._seen

    def _take(self, seen: Iterable[Seen]) -> None:
        self._seen += seen
        self._show(self._seen)

    # --- the scenes ---

    def _flow(self) -> list[Seen]:
        self._tell("a flow runs: a mapped task, a retry, a skip, a shell script")
        run = self._submit("tour", "--wait")
        rows = self._instances(run)
        states = {name: row["state"] for name, row in rows.items()}
        mapped = [states[f"square[{index}]"] for index in range(4)]
        return [
            _equal("a task runs once for each item of a list", mapped, ["success"] * 4),
            _equal("a failure is tried again", self._story(run, "tour/shaky"), RETRIED),
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

    def _outage(self, server: Process) -> list[Seen]:
        away_s = self._pace.away_s
        run = self._submit("away", "--param", f"folder={self._folder}", "--param", f"seconds={away_s / 5}")
        until(lambda: bool(self._size("brief") and self._size("lasting")), "the tasks do not begin")
        url = (self._folder / "server-url").read_text()
        server.kill()
        server.wait()
        gone = datetime.now(UTC)
        (self._folder / "gone").touch()
        self._tell(f"two tasks run: the server gets SIGKILL, and stays away for {away_s:g} s")
        until(lambda: bool(self._size("ended")), "the task does not end")
        select.select([], [], [], max(away_s - (datetime.now(UTC) - gone).total_seconds(), 0.2))
        back = datetime.now(UTC)
        self._programs.start("server", "--port", url.strip().rpartition(":")[2], "--lease", str(LEASE_S))
        self._tell("the server is back")
        until(lambda: self._over(run), "the tasks do not end")
        rows = self._instances(run)
        ended = datetime.fromisoformat(rows["brief"]["end_date"])
        told = sum(what.startswith("told_") for what in self._story(run, "away/brief"))
        after = f"it ended {(ended - gone).total_seconds():.1f} s after the kill, and was told {told} time"
        once = gone < ended < back and self._story(run, "away/brief") == DIRECT
        return [
            Seen("a task that ends while the server is away is told of, once", after, once),
            _equal("one that asks meanwhile waits, and is not harmed", self._story(run, "away/lasting"), DIRECT),
        ]

    def _adoption(self, first: Process) -> tuple[list[Seen], Process]:
        run = self._submit("orphans", "--param", f"folder={self._folder}")
        until(lambda: bool(self._size("orphan") and self._size("script")), "the tasks do not begin")
        first.kill()
        first.wait()
        self._tell("two tasks run: their worker gets SIGKILL")
        second = self._programs.start("run", "--name", "second")
        self._tell("another worker is ready, and has adopted them")
        (self._folder / "adopted").touch()
        until(lambda: self._over(run), "the orphans do not end")
        orphan, script = self._story(run, "orphans/orphan"), self._story(run, "orphans/script")
        return [
            _equal("the tasks of a killed worker are adopted by the next", orphan, DIRECT),
            _equal("also those that are not Python", script, DIRECT),
        ], second

    def _begin_job(self) -> str:
        self._tell("a job begins that saves a checkpoint with each step")
        tally, step_s = self._folder / "tally", self._pace.step_s
        run = self._submit("job", "--param", f"tally={tally}", "--param", f"step_s={step_s}")
        until(lambda: self._size("tally") >= ENOUGH, "the job does not get on")
        return run

    def _end_job(self, run: str) -> list[Seen]:
        until(lambda: self._over(run), "the job does not end")
        done, steps = self._instances(run)["count"], self._size("tally")
        moved = f"{steps} steps in all, {done['state']} on the {done['worker']} worker"
        return [
            _equal("SIGTERM becomes a checkpoint, and is resumed", self._story(run, "job/count"), RESUMED),
            Seen("another worker goes on from there", moved, done["worker"] == "third" and steps <= STEPS + 1),
            _equal("and no retry is spent", (done["state"], done["try_number"]), ("success", 1)),
        ]

    # --- what is looked at ---

    def _size(self, mark: str) -> int:
        file = self._folder / mark
        return file.stat().st_size if file.exists() else 0

    def _submit(self, flow: str, *options: str) -> str:
        run: str = self._programs.call("submit", f"{self._flows}:{flow}", "--json", *options)["run_id"]
        return run

    def _over(self, run: str) -> bool:
        return all(row["state"] in ("success", "failed") for row in self._instances(run).values())

    def _instances(self, run: str) -> dict[str, dict[str, Any]]:
        rows = self._programs.call("ps", "--run", run, "--json")["instances"]
        return {row["task_id"] + (f"[{row['map_index']}]" if row["map_index"] >= 0 else ""): row for row in rows}

    def _story(self, run: str, name: str) -> list[str]:
        flow, _, task = name.partition("/")
        events = self._programs.call("why", f"{flow}/{run}/{task}", "--json")["events"]
        return [event["what"] for event in events if event["what"] not in BY_THE_WAY]


def _equal(claim: str, observed: object, wanted: object) -> Seen:
    text = ", ".join(map(str, observed)) if isinstance(observed, list | tuple) else str(observed)
    return Seen(claim, text, observed == wanted)
