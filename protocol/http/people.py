"""What people, the dashboard and the command line say to the server, under `/api`.

Whatever is listed is paged: a reply has at most `limit` items and says how many there are in all.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, field

from protocol.flows import FlowGraph, Name
from protocol.messages.checkpoints import StopReason
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
    params: dict[str, Any] | None = None
    """What the flow's own parameters were when the graph was drawn, to be shown."""
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
    kind: str | None = None
    """The kind of failure, when it failed without an outcome of its task's own."""
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
    what: str
    attempt: UUID
    try_number: int
    why: str = ""
    detail: dict[str, Any] | None = None


class Timeline(Model, frozen=True):
    """Why a task instance is where it is, over all its attempts."""

    instance: InstanceSummary
    attempts: list[InstanceSummary]
    """The last ones, the oldest of them first."""
    events: list[TimelineEvent]
    """As the attempts are."""
    waits: str = ""
    """What a queued one that nobody has claimed waits for."""
    total_attempts: int = 0
    """How many there are in all; `offset` leaves out so many of the newest, and gives those before them."""
    total_events: int = 0


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
    """What an action left behind: the task instance that was named, then what else it changed, as they are now."""

    instances: list[InstanceSummary]
    total: int = 1
    """How many it changed; of very many, only the first are listed."""


class StopBody(StrictModel, frozen=True):
    """Ask it to stop at its next checkpoint."""

    reason: StopReason = StopReason.USER_KILL


class PoolSummary(Model, frozen=True):
    """A pool, and how many of its slots are in use."""

    name: str
    slots: int
    used: int


class PoolPage(Model, frozen=True):
    """All pools."""

    pools: list[PoolSummary]


class PoolBody(StrictModel, frozen=True):
    """A pool to make or to change."""

    name: Name
    slots: Annotated[int, Meta(ge=-1, le=1_000_000)]
