"""What the stores give and take: one frozen struct per kind of row, and the outcomes of attempts.

Names are those of the database: a *flow* is what Airflow calls a Dag, an *instance* is a task instance. Moments are
aware datetimes. Ids are strings in their canonical form. JSON values are plain Python values: who reads one gets what
was written.

An instance has three identities, and they must not be confused. `key` is the row: it never changes. `id` is the
attempt: it changes whenever an attempt is replaced, so a token of an old attempt fits nothing any more. `fence` counts
the claims within one attempt: it tells the worker that lost its claim from the one that has it now.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from protocol.flows import FlowGraph, TaskSpec
from protocol.messages.checkpoints import BlobReference, StopReason
from protocol.messages.runs import DagRunState, DagRunType
from protocol.states import TaskInstanceState
from server.engine import ResumeFrom


class Record(Struct, frozen=True, kw_only=True, gc=False):
    """A row, or what belongs together with one."""


class FailureKind(StrEnum):
    """Why an attempt ended without an outcome of its task's own."""

    APP = "app"
    OOM = "oom"
    TIMEOUT = "timeout"
    EVICTED = "evicted"
    LOST = "lost"
    FENCED = "fenced"
    PROTOCOL = "protocol"
    BOOT = "boot"
    NO_OUTCOME = "no_outcome"
    KILLED = "killed"


class Flow(Record, frozen=True):
    """A flow by its latest graph. Runs keep the graph they were submitted with."""

    dag_id: str
    graph: FlowGraph
    is_paused: bool
    updated: datetime


class NewRun(Record, frozen=True):
    """What a run is submitted with."""

    dag_id: str
    run_id: str
    run_type: DagRunType = DagRunType.MANUAL
    logical_date: datetime | None = None
    run_after: datetime | None = None
    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None
    conf: dict[str, Any] | None = None
    params: dict[str, Any] | None = None
    """Values for the flow's own parameters."""
    triggering_user_name: str | None = None
    partition_key: str | None = None
    note: str | None = None
    context_carrier: dict[str, Any] | None = None


class Run(Record, frozen=True):
    """A run."""

    key: int
    dag_id: str
    run_id: str
    state: DagRunState
    run_type: DagRunType
    logical_date: datetime | None
    run_after: datetime
    data_interval_start: datetime | None
    data_interval_end: datetime | None
    start_date: datetime | None
    end_date: datetime | None
    conf: dict[str, Any] | None
    params: dict[str, Any] | None
    triggering_user_name: str | None
    partition_key: str | None
    note: str | None
    clear_number: int
    context_carrier: dict[str, Any] | None
    created: datetime


class Instance(Record, frozen=True):
    """A task instance and its current attempt."""

    key: int
    id: str
    run_key: int
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: TaskInstanceState
    try_number: int
    max_tries: int
    queue: str
    runtime: str | None
    pool: str
    pool_slots: int
    priority: int
    fence: int
    worker: str | None
    hostname: str | None
    unixname: str | None
    pid: int | None
    queued_at: datetime | None
    start_date: datetime | None
    end_date: datetime | None
    heartbeat_at: datetime | None
    due: datetime | None
    """When something happens to it by itself: a lease or claim ends, a retry or resume begins, a wait is over."""
    next_method: str | None
    next_kwargs: Any
    trigger_id: int | None
    rendered_map_index: str | None
    kind: FailureKind | None
    reason: str | None
    resume_from: ResumeFrom
    resume_stage: ResumeFrom
    """How far it has fallen back."""
    stalls: int
    """Resumes in a row that made no progress."""
    stop: StopReason | None


class Attempt(Record, frozen=True):
    """One attempt of an instance: an archived one, or the current one in the same form."""

    id: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    state: TaskInstanceState
    """How it ended, or where it is."""
    current: bool
    worker: str | None
    hostname: str | None
    pid: int | None
    queued_at: datetime | None
    start_date: datetime | None
    end_date: datetime | None
    kind: FailureKind | None
    reason: str | None


class Event(Record, frozen=True):
    """One line of an instance's story."""

    id: int
    attempt_id: str
    try_number: int
    at: datetime
    what: str
    why: str
    detail: dict[str, Any] | None


class Claimed(Record, frozen=True):
    """An instance that a worker may start, until `due`."""

    instance: Instance
    graph: FlowGraph
    task: TaskSpec
    context_carrier: dict[str, Any] | None


class Process(Record, frozen=True):
    """Where an attempt runs."""

    hostname: str
    unixname: str
    pid: int


class PidOf(StrEnum):
    """Whose the pid is that an attempt is known by: one without a process when it asks has its worker's."""

    CHILD = "child"
    WORKER = "worker"


class Started(Record, frozen=True):
    """What an attempt begins with: the reply of `/run` is made of this."""

    instance: Instance
    run: Run
    graph: FlowGraph
    task: TaskSpec
    should_retry: bool
    reschedule_count: int
    first_reschedule: datetime | None
    xcom_keys: list[str]
    """Left by earlier attempts and to be cleared; empty when it goes on after a wait."""
    resumed: bool
    """It goes on after a wait (`next_method`); `instance.start_date` is then the first start."""


class Beat(Record, frozen=True):
    """What the server has to say at a heartbeat."""

    lease: datetime
    stop: StopReason | None


class Applied(StrEnum):
    """What became of an outcome that was told."""

    NEW = "new"
    AGAIN = "again"
    """It was known already; nothing was done."""


class Checkpoint(Record, frozen=True):
    """One generation of an instance's checkpoint."""

    seq: int
    attempt: int
    created: datetime
    progress: float | None
    fingerprint: str | None
    data: Any
    blob: BlobReference | None
    reason: str | None


class Saved(Record, frozen=True):
    """A checkpoint is durable under this number; `stop` says why now is the moment to end on it."""

    seq: int
    stop: StopReason | None


class ResumePoint(Record, frozen=True):
    """The checkpoint to begin from, or None for a fresh start and then why."""

    checkpoint: Checkpoint | None
    note: str | None
    hold: str | None = None
    """Why neither: the author wants a person to look first."""


class XCom(Record, frozen=True):
    """What an instance handed on under a key."""

    key: str
    value: Any
    map_index: int


class Connection(Record, frozen=True):
    """A connection. Password and extra are secrets."""

    conn_id: str
    conn_type: str
    host: str | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = None
    port: int | None = None
    extra: str | None = None


class Variable(Record, frozen=True):
    """A variable."""

    key: str
    value: str | None
    description: str | None = None


class Asset(Record, frozen=True):
    """An asset."""

    key: int
    name: str
    uri: str
    group: str
    extra: dict[str, Any] | None


class AssetEvent(Record, frozen=True):
    """One recorded change of an asset, and which instance made it."""

    id: int
    asset: Asset
    timestamp: datetime
    extra: dict[str, Any] | None
    source_dag_id: str | None
    source_run_id: str | None
    source_task_id: str | None
    source_map_index: int | None
    partition_key: str | None


class Question(Record, frozen=True):
    """A question to people, and their answer when there is one. It belongs to the instance, not to the attempt."""

    options: list[str]
    subject: str
    body: str | None = None
    defaults: list[str] | None = None
    multiple: bool = False
    params: dict[str, Any] | None = None
    assigned_users: list[dict[str, str]] | None = None
    responded_at: datetime | None = None
    responded_by: dict[str, str] | None = None
    chosen_options: list[str] | None = None
    params_input: dict[str, Any] | None = None


class Trigger(Record, frozen=True):
    """A wait that outlives its task's process. Its arguments are opaque here."""

    id: int
    classpath: str
    kwargs: str
    timeout_after: datetime | None
    created: datetime
    queue: str | None
    fence: int
    instance: Instance


class Pool(Record, frozen=True):
    """A limit on slots held at once; a negative number of slots is no limit."""

    name: str
    slots: int
    used: int = 0


class Ticked(Record, frozen=True):
    """What one tick of the engine did. `more`: it stopped at its limit; `next_due`: when there is more to do."""

    transitions: int
    queued: int
    more: bool
    next_due: datetime | None
    faults: list[str] = field(default_factory=list)
    """What could not be decided, and why. The rest was."""


class Pruned(Record, frozen=True):
    """What was removed; the logs of these runs may go too."""

    runs: list[tuple[str, str]]
    values: int
