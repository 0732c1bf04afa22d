"""Tasks of every temper while every party is killed at random: what was started, ended and told agrees exactly."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil
import pytest

from runner.authoring import load
from supervisor.journal_files import folder_of, read
from tests.system.storm.parties import PATIENCE_S, Parties, marked

pytestmark = pytest.mark.slow

FLOW = Path(__file__).with_name("tasks.py")
EXPECTED = {"fails": "failed", "skips": "skipped"}
"""How a task ends, whatever the storm does; the others succeed."""
IN_FLIGHT = 3
HOUR_S = 3600.0
MIB = 1 << 20
MORE = (8 * MIB + 2 * 64 * MIB, 8 * MIB)
"""What the server and a worker may grow by. The server's database keeps up to 64 MiB of pages for each connection."""


class Line(NamedTuple):
    """What a task wrote down."""

    word: str
    attempt: str
    pid: str


class Tally:
    """The runs that were submitted."""

    def __init__(self, parties: Parties) -> None:
        self._parties = parties
        self._graph = msgspec.to_builtins(load(f"{FLOW}:storm").graph())
        self._open: list[str] = []
        self.runs: list[str] = []

    def top_up(self) -> None:
        """Keep some runs going."""
        self._open = [run for run in self._open if not self._over(run)]
        while len(self._open) < IN_FLIGHT:
            run = f"r{len(self.runs)}"
            answer = self.people("POST", "/flows/storm/runs", json={"graph": self._graph, "run_id": run})
            assert answer is not None
            self.runs.append(run)
            self._open.append(run)

    def people(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        answer = self._parties.live.people(method, path, **more)
        assert answer.status_code < 300, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def _over(self, run: str, wait_s: float = 0.0) -> bool:
        return self.people("GET", f"/flows/storm/runs/{run}?wait_s={wait_s}")["state"] in {"success", "failed"}

    def finish(self) -> None:
        """Wait for the end of all."""
        for run in self._open:
            until = time.monotonic() + PATIENCE_S
            while not self._over(run, 5.0):
                assert time.monotonic() < until, f"{run} does not end: {self.states(run)}"

    def states(self, run: str) -> dict[str, str]:
        page = self.people("GET", f"/task-instances?flow=storm&run={run}&limit=100")
        return {f"{each['task_id']}/{each['map_index']}": each["state"] for each in page["instances"]}

    def stories(self, run: str) -> dict[str, list[dict[str, Any]]]:
        """Give the timelines of a run's task instances."""
        page = self.people("GET", f"/task-instances?flow=storm&run={run}&limit=100")
        return {
            f"{run}/{each['task_id']}/{each['map_index']}": self.people(
                "GET", f"/task-instances/{each['id']}/timeline"
            )["events"]
            for each in page["instances"]
        }


def hold_the_accounts(tally: Tally, ledger: Path) -> dict[str, int]:
    """What the server has on record beside what the tasks wrote down themselves."""
    wrote: dict[str, list[Line]] = {}
    for text in ledger.read_text().splitlines():
        word, name, attempt, pid = text.split()
        wrote.setdefault(name, []).append(Line(word, attempt, pid))
    totals = {"instances": 0, "started": 0, "ended": 0, "interrupted": 0}
    for run in tally.runs:
        for name, events in tally.stories(run).items():
            totals["instances"] += 1
            hold_one(name, events, wrote.get(name, []), totals)
        assert all(state == EXPECTED.get(name.split("/")[0], "success") for name, state in tally.states(run).items()), (
            tally.states(run)
        )
    return totals


def hold_one(name: str, events: list[dict[str, Any]], wrote: list[Line], totals: dict[str, int]) -> None:
    """One instance: each attempt that was started ended once, one after the other, and the end is the task's own."""
    story = "\n".join(f"{each['at']} {each['attempt']} {each['what']} {each['why']}" for each in events)
    turns = [event for event in events if event["what"] == "run" or event["what"].startswith(("told_", "lost_"))]
    started = [event["attempt"] for event in turns if event["what"] == "run"]
    # One that goes back to the queue keeps its id; one that was lost before it ran ends without having begun.
    ended = [after["attempt"] for before, after in pairwise(turns) if in_turn(before, after)]
    assert started == ended, f"{name} was started and did not end, or not in turn\n{story}"
    processes = [process for process, _ in groupby((line.attempt, line.pid) for line in wrote)]
    assert len(processes) == len({*processes}), f"{name} ran twice at once: {wrote}\n{story}"
    assert {line.attempt for line in wrote} <= {*started}, f"{name} ran unasked: {wrote}\n{story}"
    last = turns[-1]
    if last["what"] == "told_success" and wrote:
        done = {line.attempt for line in wrote if line.word == "done"}
        assert last["attempt"] in done, f"{name} succeeded and was not done: {wrote}\n{story}"
    totals["started"] += len(started)
    totals["ended"] += len(ended)
    totals["interrupted"] += len(started) - 1


def hold_the_workers(parties: Parties) -> None:
    """Nothing is left of anybody: no process, no debt, no directory."""
    for worker in parties.workers:
        assert worker.process is not None
        worker.until_ready()
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(PATIENCE_S) == 0, (parties.folder / f"{worker.name}.log").read_text()[-2000:]
        assert not read(folder_of(worker.home)).story.entries
        assert not [*(worker.home / "tmp").glob("*")]
        assert not [file for file in (worker.home / "checkpoints").rglob("*") if file.is_file()]
        assert sum(1 for _ in folder_of(worker.home).glob("*.journal")) <= 3
    assert not [*marked(parties.mark)]


def in_turn(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether this is an end, and follows the start of the same attempt."""
    return bool(before["what"] == "run" != after["what"] and before["attempt"] == after["attempt"])


class Size(NamedTuple):
    """What a process has."""

    pid: int
    fds: int
    rss: int


def sizes(parties: Parties) -> list[Size]:
    """Measure those who live through the second half: the server, and the worker that nobody strikes."""
    found = []
    steady = parties.steady.process
    assert steady is not None
    for pid in (parties.live.process.pid, steady.pid):
        process = psutil.Process(pid)
        with process.oneshot():
            found.append(Size(pid, process.num_fds(), process.memory_info().rss))
    return found


def blow(seconds: float, tally: Tally, strike: Callable[[], str]) -> list[str]:
    """Have a storm for so long, and wait for the end of what it has met."""
    blows = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        tally.top_up()
        blows.append(f"{until - time.monotonic():8.2f} {strike()}")
    tally.finish()
    return blows


def exercise_storm(folder: Path, seconds: float, seed: int) -> dict[str, Any]:
    """In the first half everybody is struck; in the second one the server and one worker live, and may not grow."""
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    with Parties(folder, 3) as parties:
        tally = Tally(parties)
        blows = blow(seconds / 2, tally, lambda: parties.strike(chance))
        before = sizes(parties)
        blows += blow(seconds / 2, tally, lambda: parties.strike(chance, server=False))
        after = sizes(parties)
        (folder / "blows").write_text("\n".join(blows))
        totals = hold_the_accounts(tally, parties.ledger)
        hold_the_workers(parties)
    return totals | {"blows": len(blows), "fds": grown(before, after, "fds"), "rss": grown(before, after, "rss")}


def grown(before: list[Size], after: list[Size], what: str) -> list[tuple[int, int]]:
    assert [size.pid for size in before] == [size.pid for size in after]
    return [(getattr(old, what), getattr(new, what)) for old, new in zip(before, after, strict=True)]


def hold(totals: dict[str, Any]) -> None:
    assert totals["started"] == totals["ended"] > totals["instances"] > 0, totals


@pytest.mark.timeout(180)
def test_a_short_storm(tmp_path: Path) -> None:
    hold(exercise_storm(tmp_path, 6.0, 1))


@pytest.mark.soak
@pytest.mark.timeout(2 * HOUR_S)
def test_an_hour_s_storm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = float(os.environ.get("TASKHAND_STORM_S", HOUR_S))
    totals = exercise_storm(tmp_path, seconds, int(os.environ.get("TASKHAND_STORM_SEED", "0")))
    with capsys.disabled():
        sys.stdout.write(f"\n{totals}\n")
    hold(totals)
    assert all(new <= old + 16 for old, new in totals["fds"]), totals
    assert all(new <= old * 1.1 + more for (old, new), more in zip(totals["rss"], MORE, strict=True)), totals
