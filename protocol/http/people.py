"""What people, the dashboard and the command line say to the server, under `/api`.

Whatever is listed is paged: a reply has at most `limit` items and says how many there are in all.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, field

from protocol.flows import FlowGraph
from protocol.messages.runs import DagRunState, DagRunType
from protocol.messages.shape import Aware, Model, StrictModel
from protocol.states import TaskInstanceState

RunId = Annotated[str, Meta(min_length=1, max_length=250, pattern=r"^[^\x00-\x1f\x7f]+$")]
Note = Annotated[str, Meta(max_length=10_000)]


class SubmitRun(StrictModel, frozen=True):
    """A flow to run now, or after a moment. Submitting an id that the flow already has is refused."""

    graph: FlowGraph
    run_id: RunId | None = None
    """None lets the server name it."""
    conf: dict[str, Any] | None = None
    logical_date: Aware | None = None
    run_after: Aware | None = None
    note: Note | None = None


class RunSummary(Model, frozen=True):
    """A run."""

    dag_id: str
    run_id: str
    state: DagRunState
    run_type: DagRunType
    run_after: Aware
    logical_date: Aware | None = None
    start_date: Aware | None = None
    end_date: Aware | None = None
    conf: dict[str, Any] | None = None
    note: str | None = None
    clear_number: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """How many of its task instances are in each state."""


class RunPage(Model, frozen=True):
    """Runs, the newest first."""

    runs: list[RunSummary]
    total: int


class InstanceSummary(Model, frozen=True):
    """A task instance, as its current attempt is."""

    id: UUID
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    max_tries: int
    state: TaskInstanceState
    queue: str
    pool: str
    runtime: str | None = None
    worker: str | None = None
    hostname: str | None = None
    pid: int | None = None
    queued_at: Aware | None = None
    start_date: Aware | None = None
    end_date: Aware | None = None
    last_heartbeat_at: Aware | None = None
    due: Aware | None = None
    """When a retry, a reschedule, a resume or a time-out of waiting comes due."""
    reason: str | None = None
    """Why it is in this state, when there is more to say than the state says."""
    rendered_map_index: str | None = None
    checkpoint_seq: int | None = None
    checkpoint_progress: float | None = None


class InstancePage(Model, frozen=True):
    """Task instances, in the order of their runs and of the flow."""

    instances: list[InstanceSummary]
    total: int


class TimelineEvent(Model, frozen=True):
    """One thing that happened to a task instance: what was told to whom, and what became of it."""

    at: Aware
    event: str
    attempt: UUID
    try_number: int
    state: str | None = None
    """The state it led to, when it led to one."""
    detail: dict[str, Any] | None = None


class Timeline(Model, frozen=True):
    """Why a task instance is where it is, over all its attempts."""

    instance: InstanceSummary
    events: list[TimelineEvent]


class ClearRequest(StrictModel, frozen=True):
    """Run it again from the start, or from its checkpoint when that is kept; with what comes after it, if asked."""

    keep_checkpoint: bool = False
    downstream: bool = False


class KillRequest(StrictModel, frozen=True):
    """End it: its worker is told at the next heartbeat."""

    reason: Note | None = None


class MarkRequest(StrictModel, frozen=True):
    """Say how it ended, whatever happened."""

    state: Literal["success", "failed", "skipped"]
    reason: Note | None = None


class Acted(Model, frozen=True):
    """What an action left behind: every task instance that it touched."""

    instances: list[InstanceSummary]


class WorkerSummary(Model, frozen=True):
    """A worker, as its claims showed it."""

    worker: str
    queues: list[str]
    slots: int
    last_claim_at: Aware


class WorkerPage(Model, frozen=True):
    """The workers that claimed lately."""

    workers: list[WorkerSummary]
