"""Flows and runs: submitting, looking, and what people do to them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from protocol.flows import FlowGraph
from protocol.messages.checkpoints import StopReason
from server.filters import WHOLE, InstanceFilter, RunFilter, Tail
from server.records import Attempt, Checkpoint, Event, Flow, Instance, NewRun, Pool, Run


class Runs(Protocol):
    """Flows and runs: submitting, looking, and what people do to them."""

    async def submit(self, graph: FlowGraph, run: NewRun, now: datetime) -> Run:
        """Keep the graph as the flow's latest, and create the run; a taken run id is `Conflict("already_exists")`."""
        ...

    async def start_run(self, run: NewRun, now: datetime) -> Run:
        """Create a run of a flow that is known."""
        ...

    async def clear_run(self, dag_id: str, run_id: str, now: datetime) -> Run:
        """Have a whole run again: all its instances, from the start."""
        ...

    async def flow(self, dag_id: str) -> Flow | None:
        """Give a flow."""
        ...

    async def flows(self) -> list[Flow]:
        """Give all flows by name."""
        ...

    async def pause(self, dag_id: str, *, paused: bool) -> bool:
        """Hold back what is not queued yet, or let it go on; says whether the flow is known."""
        ...

    async def run(self, dag_id: str, run_id: str) -> Run | None:
        """Find a run."""
        ...

    async def graph(self, dag_id: str, run_id: str) -> FlowGraph | None:
        """Give the graph this run was submitted with."""
        ...

    async def runs(self, which: RunFilter, *, limit: int = 100, offset: int = 0) -> list[Run]:
        """Newest first."""
        ...

    async def count_runs(self, which: RunFilter) -> int:
        """Give how many runs fit."""
        ...

    async def counts(self, runs: Sequence[Run]) -> list[dict[str, int]]:
        """Give for each of these runs how many of its instances are in which state."""
        ...

    async def previous_run(self, dag_id: str, logical_date: datetime, state: str | None) -> Run | None:
        """Give the run with the latest logical date before this one."""
        ...

    async def previous_success(self, ti_id: str) -> Run | None:
        """Give the last successful run before this attempt's own."""
        ...

    async def set_run_note(self, dag_id: str, run_id: str, note: str | None) -> None:
        """Write the note of a run, or remove it."""
        ...

    async def instances(self, which: InstanceFilter, *, limit: int = 100, offset: int = 0) -> list[Instance]:
        """Newest runs first, and within a run in the order of creation."""
        ...

    async def count_instances(self, which: InstanceFilter) -> int:
        """Give how many instances fit."""
        ...

    async def instance_states(self, which: InstanceFilter) -> list[tuple[str, str, int, str]]:
        """Give (run_id, task_id, map_index, state)."""
        ...

    async def previous_instance(
        self, dag_id: str, task_id: str, logical_date: datetime | None, map_index: int, state: str | None
    ) -> tuple[Instance, Run] | None:
        """Give the instance of the latest earlier run that fits, with its run."""
        ...

    async def find(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Instance | None:
        """Find an instance by its names."""
        ...

    async def attempt(self, ti_id: str) -> Attempt | None:
        """Find an attempt by its id, replaced or not."""
        ...

    async def attempts(
        self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, *, tail: Tail = WHOLE
    ) -> list[Attempt]:
        """Give the last attempts of an instance but so many, oldest first, the current one last."""
        ...

    async def attempts_like(self, prefix: str, limit: int) -> list[Attempt]:
        """Find attempts, replaced or not, by the beginning of their id."""
        ...

    async def timeline(
        self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, *, tail: Tail = WHOLE
    ) -> list[Event]:
        """Give the story of an instance, oldest first: the last lines of it but so many."""
        ...

    async def count_story(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> tuple[int, int]:
        """Give how many attempts an instance has had, and how many lines its story has."""
        ...

    async def checkpoints(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> list[Checkpoint]:
        """Give the generations that are kept, latest first."""
        ...

    async def clear(
        self, ti_id: str, now: datetime, *, keep_checkpoint: bool, downstream: bool = False
    ) -> list[Instance]:
        """Have it run again. A running one is stopped first: its attempt must be gone before the next begins.

        Gives it as it now is, and after it what else was cleared.
        """
        ...

    async def kill(self, ti_id: str, now: datetime, *, reason: str) -> Instance:
        """End it as failed at once; its worker hears of it with its next heartbeat, and stops the process then.

        Its slot is in use until the worker says that it is gone, or its lease is over.
        """
        ...

    async def request_stop(self, ti_id: str, reason: StopReason, now: datetime) -> None:
        """Ask a running attempt to stop at its next checkpoint."""
        ...

    async def resume(self, ti_id: str, now: datetime) -> Instance:
        """Queue a held checkpointed instance."""
        ...

    async def mark(self, ti_id: str, state: str, now: datetime, *, reason: str | None = None) -> Instance:
        """Set `success`, `failed` or `skipped` by hand."""
        ...

    async def pools(self) -> list[Pool]:
        """Give all pools with the slots in use."""
        ...

    async def set_pool(self, name: str, slots: int) -> None:
        """Make a pool, or change its size; a negative number is no limit."""
        ...

    async def state_counts(self) -> dict[str, int]:
        """Give how many unfinished instances are in each state, for `/metrics`."""
        ...
