"""Killing a writer at random points, and looking for everything it was told is safe."""

import asyncio
import itertools
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from protocol.states import TaskInstanceState
from server.faults import CallerError
from server.filters import InstanceFilter, RunFilter, XComName
from server.outcomes import Ended
from server.records import Process
from server.store import Store
from tests.server.victim import store_at

ROOT = Path(__file__).parent.parent.parent
MOST_LINES = 120


def killed(where: str, number: int, chance: random.Random) -> list[list[Any]]:
    """Start a writer, kill it after a random number of acknowledged writes, and give all of them."""
    command = [sys.executable, "-m", "tests.server.victim", where, f"r{number}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        assert victim.stderr is not None
        lines = list(itertools.islice(victim.stdout, chance.randrange(1, MOST_LINES)))
        victim.kill()
        lines += victim.stdout.readlines()
        said = victim.stderr.read().decode()
    assert lines, said
    return [msgspec.json.decode(line) for line in lines if line.endswith(b"\n")]


class Promises:
    """What was acknowledged, over all rounds."""

    def __init__(self) -> None:
        self.runs: set[str] = set()
        self.variables: set[str] = set()
        self.attempts: dict[str, str] = {}
        self.records: dict[str, int] = {}
        self.xcoms: list[XComName] = []

    def add(self, lines: list[list[Any]]) -> None:
        for what, *values in lines:
            match what, values:
                case "submitted", [run_id]:
                    self.runs.add(run_id)
                case "variable", [key]:
                    self.variables.add(key)
                case "saved", [ti_id, seq, _]:
                    self.records[ti_id] = seq
                case "returned", [name, _]:
                    self.xcoms.append(msgspec.convert(name, XComName))
                case (("claimed" | "started"), [ti_id]):
                    self.attempts[ti_id] = what
                case "finished", [ti_id, state]:
                    self.attempts[ti_id] = state
                case _:
                    raise AssertionError(what)

    async def kept(self, store: Store) -> None:
        """Look for all of it. What came after a write may have moved on, but never back."""
        for run_id in self.runs:
            assert await store.run("flow", run_id) is not None, run_id
        for key in self.variables:
            assert await store.get_variable(key) is not None, key
        for name in self.xcoms:
            assert await store.get_xcom(name) is not None, name
        for ti_id, what in self.attempts.items():
            await self._attempt_kept(store, ti_id, what)

    async def _attempt_kept(self, store: Store, ti_id: str, what: str) -> None:
        found = await store.attempt(ti_id)
        assert found is not None, (ti_id, what)
        events = await store.timeline(found.dag_id, found.run_id, found.task_id, found.map_index)
        told = {event.what for event in events if event.attempt_id == ti_id}
        assert {"claimed": "claim", "started": "run"}.get(what, "run") in told, (ti_id, what, told)
        if what in {"success", "up_for_retry"}:
            assert found.state == what, (ti_id, what, found)
        if ti_id in self.records:
            kept = await store.checkpoints(found.dag_id, found.run_id, found.task_id, found.map_index)
            assert kept[0].seq >= self.records[ti_id], (ti_id, kept)


async def everything_ends(store: Store) -> None:
    """A restart continues every run: what was lost is retried or fails when its lease ends, and all runs end."""
    now = datetime.now(UTC)
    here = Process(hostname="after", unixname="a", pid=1)
    while await store.count_runs(RunFilter(states=["queued", "running"])):
        now += timedelta(seconds=90)
        while (await store.tick(now)).more:
            pass
        for each in await store.claim("after", ["default"], 100, None, now):
            it = (await store.start(each.instance.id, here, now, now, fence=each.instance.fence)).instance
            if it.task_id == "list":
                name = XComName(dag_id=it.dag_id, run_id=it.run_id, task_id="list", key="return_value")
                await store.set_xcom(name, [1], by=it.id)
            await store.finish(it.id, Ended(state=TaskInstanceState.SUCCESS, end_date=now), now, fence=it.fence)
    assert await store.count_instances(InstanceFilter(states=["running", "queued", "scheduled"])) == 0


def sweep(where: str, rounds: int, seed: int) -> int:
    """Kill so many times, on one database; gives how many acknowledged writes were found again."""
    chance = random.Random(seed)  # noqa: S311 - where to kill is a sample
    promises, total = Promises(), 0

    async def look(*, last: bool) -> None:
        store = store_at(where)
        await store.open()
        try:
            await promises.kept(store)
            if last:
                await everything_ends(store)
                await _none_is_stale(store, promises)
        finally:
            await store.close()

    for number in range(rounds):
        lines = killed(where, number, chance)
        total += len(lines)
        promises.add(lines)
        asyncio.run(look(last=number == rounds - 1))
        promises = promises if number == rounds - 1 else Promises()
    return total


async def _none_is_stale(store: Store, promises: Promises) -> None:
    """No attempt that was acknowledged as ended can be ended otherwise now."""
    now = datetime.now(UTC)
    for ti_id, what in promises.attempts.items():
        if what == "success":
            try:
                await store.finish(ti_id, Ended(state=TaskInstanceState.FAILED, end_date=now), now)
            except CallerError:
                continue
            raise AssertionError(ti_id)
