"""A store and a clock: the words that scenarios are told in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from protocol.flows import FlowGraph, TaskSpec
from protocol.states import TaskInstanceState
from server.faults import CallerError
from server.filters import InstanceFilter, XComName
from server.outcomes import Checkpointed, Ended, NewCheckpoint, Outcome, Retried
from server.records import Applied, Claimed, Instance, NewRun, Process, Run, Started
from server.store import Store

S = TaskInstanceState
HERE = Process(hostname="here", unixname="me", pid=7)
THERE = Process(hostname="there", unixname="me", pid=8)


class Story:
    """One store, at one moment."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def submit(self, *tasks: TaskSpec, dag_id: str = "flow", run_id: str = "run", **more: Any) -> Run:
        graph = FlowGraph(dag_id=dag_id, tasks=list(tasks) or [TaskSpec(task_id="task")], **more)
        run = await self.store.submit(graph, NewRun(dag_id=dag_id, run_id=run_id), self.now)
        await self.tick()
        return run

    async def tick(self) -> int:
        """Tick until nothing is left to do."""
        moved = 0
        while True:
            ticked = await self.store.tick(self.now)
            moved += ticked.transitions
            if not ticked.more:
                return moved

    async def claim(self, slots: int = 1, *, worker: str = "w", queues: Sequence[str] = ("default",)) -> list[Claimed]:
        return await self.store.claim(worker, queues, slots, None, self.now)

    async def claim_one(self) -> Instance:
        [claimed] = await self.claim()
        return claimed.instance

    async def start(self, it: Instance, process: Process = HERE) -> Started:
        return await self.store.start(it.id, process, self.now, self.now, fence=it.fence)

    async def running(self) -> Instance:
        """Claim and start the next one."""
        return (await self.start(await self.claim_one())).instance

    async def finish(self, it: Instance, outcome: Outcome | TaskInstanceState = S.SUCCESS) -> Applied:
        """Tell an outcome under the fence the attempt has, and tick."""
        told = Ended(state=outcome, end_date=self.now) if isinstance(outcome, TaskInstanceState) else outcome
        applied = await self.store.finish(it.id, told, self.now, fence=it.fence)
        await self.tick()
        return applied

    def retried(self, **more: Any) -> Retried:
        return Retried(end_date=self.now, **more)

    def checkpointed(self, **more: Any) -> Checkpointed:
        return Checkpointed(end_date=self.now, **more)

    async def save(self, it: Instance, step: int, *, progress: float | None = None) -> int:
        new = NewCheckpoint(data={"step": step}, progress=progress)
        return (await self.store.save_checkpoint(it.id, new, self.now, fence=it.fence)).seq

    async def returned(self, it: Instance, value: Any) -> None:
        """Hand on a return value, as a runner does before it succeeds."""
        name = XComName(
            dag_id=it.dag_id, run_id=it.run_id, task_id=it.task_id, key="return_value", map_index=it.map_index
        )
        await self.store.set_xcom(name, value, by=it.id)

    async def find(self, task_id: str = "task", map_index: int = -1, *, run_id: str = "run") -> Instance:
        found = await self.store.find("flow", run_id, task_id, map_index)
        assert found is not None
        return found

    async def states(self, run_id: str = "run") -> dict[str, str]:
        """Give the states of a run's instances, by task or by task and map index."""
        rows = await self.store.instance_states(InstanceFilter(run_ids=[run_id]))
        return {task if index < 0 else f"{task}[{index}]": str(state) for _, task, index, state in rows}

    async def run_state(self, run_id: str = "run") -> str:
        run = await self.store.run("flow", run_id)
        assert run is not None
        return run.state.value

    async def told(self, task_id: str = "task", map_index: int = -1) -> list[str]:
        """Give the timeline in words."""
        return [event.what for event in await self.store.timeline("flow", "run", task_id, map_index)]


def task(task_id: str = "task", *upstreams: str, **more: Any) -> TaskSpec:
    return TaskSpec(task_id=task_id, upstreams=list(upstreams), **more)


@contextmanager
def raises(kind: type[CallerError], reason: str) -> Iterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.reason == reason
