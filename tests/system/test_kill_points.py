"""A worker is killed at every step between a task's last word and the server's answer; another one takes over.

With its keeper left, whether the outcome is in the journal makes no difference: a question that was not answered is on
the slate, and how a process ended the keeper knows. With the keeper killed as well there is the journal, and no more.

Each step is one test, with the task's word and our verdict. The table at the end of the run says what was seen.
Steps of the worker's own are points in its code (`supervisor.points`); the server's two are its own doing here.
"""

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import pytest

from bench.minimal_api import Answer, Call, MinimalApi
from supervisor.journal_files import folder_of, read
from tests.system.leaving import processes_of
from tests.system.test_commands import PLAIN, TOKEN, output, worker, workload
from tests.system.world import play

pytestmark = pytest.mark.slow

UNWRITTEN = ["worker.end.heard", "journal.queued", "journal.torn"]
"""Killed before its outcome was in the journal: without a keeper, the truth is that nobody knows it."""
WRITTEN = ["journal.written", "journal.synced", "outcome.durable", "server.heard", "server.took"]
WRITTEN += ["worker.end.told", "outcome.settled"]

TASKS: dict[str, dict[str, Any]] = {
    "success": {"task_id": "local.2000"},
    "failed": {"command": ["sh", "-c", "sleep 0.1; exit 5"], **PLAIN},
}


def killing(point: str, victim: list[Process]) -> Any:
    """Give a server that kills the worker when it hears of an end: before it is taken, or after, and unanswered."""

    def fault(call: Call) -> Answer | None:
        if not call.path.endswith("/state") or not victim or victim[0].returncode is not None:
            return None
        os.kill(victim[0].pid, signal.SIGKILL)
        return Answer(503) if point == "server.heard" else Answer(204, lost=True)

    return fault


async def started(folder: Path, url: str, crash_at: str = "", slots: int = 8) -> Process:
    process = await worker(folder, "run", "--api", url, "--slots", str(slots), **TOKEN, TASKHAND_CRASH=crash_at)
    assert process.stderr is not None
    while b"ready" not in await process.stderr.readline():
        pass
    return process


def kill_family(pid: int) -> None:
    """Kill a dead worker's keeper, and its children with it."""
    while family := processes_of(pid):
        for each in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)


async def taken_over(folder: Path, point: str, end: str, *, alone: bool) -> tuple[MinimalApi, str, int]:
    """Have a worker killed at this point, and another one take over: the server, the task instance, what is left."""
    await asyncio.to_thread(folder.mkdir)
    api, victim = MinimalApi(), list[Process]()
    url = await api.start()
    if point.startswith("server"):
        api.faults.append(killing(point, victim))
    first = await started(folder, url, "" if point.startswith("server") else point)
    victim.append(first)
    given = workload(api, **TASKS[end])
    api.queue(given)
    code, _, _ = await output(first)
    assert code == -signal.SIGKILL
    victim.clear()
    if alone:
        kill_family(first.pid)
    second = await started(folder, url)
    ti = given["ti"]["id"]
    await api.until(lambda api: api.states[ti] != "running")
    second.send_signal(signal.SIGTERM)
    code, _, complaints = await output(second)
    assert code == 0, complaints
    await api.stop()
    return api, ti, len(read(folder_of(folder)).story.entries)


def rows(folder: Path) -> dict[str, str]:
    """Give the row of the truth table that decided, as the attempts' logs have it."""
    found = {}
    for log in folder.glob("*/worker-logs/**/*.jsonl"):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        found[log.relative_to(folder).parts[0]] = next(line["row"] for line in lines if "told" in line)
    return found


@pytest.mark.parametrize("alone", [False, True], ids=["adopted", "alone"])
@pytest.mark.parametrize("point", [*UNWRITTEN, *WRITTEN])
def test_nothing_is_lost_and_nothing_told_twice(
    tmp_path: Path, point: str, record_property: Any, *, alone: bool
) -> None:
    async def scenario() -> list[tuple[MinimalApi, str, int]]:
        return await asyncio.gather(*(taken_over(tmp_path / end, point, end, alone=alone) for end in TASKS))

    seen: dict[str, str] = {}
    for end, (api, ti, left) in zip(TASKS, play(scenario()), strict=True):
        ends, bodies = api.ends[ti], {call.raw for call in api.calls if call.path.endswith(f"{ti}/state")}
        runs = sum(call.path.endswith(f"{ti}/run") for call in api.calls)
        seen[end] = f"{ends[0]['state']}/{ends[0].get('kind', '-')}"
        invariants = {
            "told": len(ends) == 1,
            "one content": len(bodies) == 1,
            "run once": runs == 1,
            "nothing owed": left == 0,
            "no folder left": not [*(tmp_path / end / "tmp").iterdir()],
        }
        record_property("kill point", (f"{point}{', keeper too' if alone else ''}", end, seen[end], invariants))
        assert all(invariants.values()), (end, invariants)
    if not alone:
        assert seen == {"success": "success/-", "failed": "failed/app"}
    elif point in UNWRITTEN:
        assert set(seen.values()) == {"failed/lost"}
        assert rows(tmp_path) == {"success": "lost", "failed": "lost"}
    else:
        assert rows(tmp_path) == {"success": "said, told at the end", "failed": "code"}
        assert seen == {"success": "success/-", "failed": "failed/app"}
