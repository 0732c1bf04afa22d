"""The triggerer's conversation: triggers handed down, events, failures and finished ones handed up.

It has its own greeting and its own vocabulary over the same frames. Questions here may carry the id of the task
instance whose trigger asks as the fourth element of the frame, and many are open at once.
"""

from typing import Any, Literal, NamedTuple
from uuid import UUID

from msgspec import UNSET, UnsetType

from protocol.changes import Change, drop, within
from protocol.messages.shape import Json, Message, Model, Moment, SparseModel
from protocol.messages.startup import without_region


class TriggeredInstance(Model, frozen=True):
    """The task instance a trigger belongs to, with what an executor knows of it."""

    id: UUID
    task_id: str
    dag_id: str
    run_id: str
    try_number: int
    dag_version_id: UUID
    pool_slots: int
    priority_weight: int
    map_index: int = -1
    region_id: UUID | None = None
    region_index: int | None = None
    hostname: str | None = None
    context_carrier: dict[str, Any] | None = None
    queue: str = "default"


class RunTrigger(Model, frozen=True, tag_field="type", tag="RunTrigger"):
    """A trigger to run. Its arguments are opaque here and encrypted."""

    id: int
    classpath: str
    encrypted_kwargs: str
    ti: TriggeredInstance | None = None
    timeout_after: Moment | None = None
    dag_data: dict[str, Any] | None = None
    dag_run_data: dict[str, Any] | None = None
    watched_assets: dict[str, str] | None = None
    queued_at: float | None = None


class TriggerEvent(SparseModel, frozen=True):
    """What a trigger yielded: a payload (nil too) that resumes its task, or a state that ends it.

    Exactly one of the two is there, and on the wire the other's key is left out: Airflow tells the kinds apart by the
    state's key, refuses a payload beside a state, and cannot take an event with neither.
    """

    payload: Json | UnsetType | None = UNSET
    task_instance_state: Literal["success", "failed", "skipped"] | UnsetType = UNSET
    xcoms: dict[str, Json] | None = None

    def __post_init__(self) -> None:
        if (self.payload is UNSET) == (self.task_instance_state is UNSET):
            raise ValueError("a trigger event has either a payload or a task_instance_state")


class FiredTrigger(NamedTuple):
    """An event on its way up. `persist_seq` asks to be told when the event is durable."""

    trigger_id: int
    event: TriggerEvent
    persist_seq: int | None


class FailedTrigger(NamedTuple):
    """A trigger that raised, with the lines of its traceback when there is one."""

    trigger_id: int
    traceback: list[str] | None


class StartTriggerer(Message, frozen=True):
    """The greeting of a trigger runner."""

    team_name: str | None = None


class TriggerStateChanges(Message, frozen=True):
    """What happened since the last one: events, failures, and triggers that are done."""

    events: list[FiredTrigger] | None = None
    failures: list[FailedTrigger] | None = None
    finished: list[int] | None = None


class TriggerStateSync(Message, frozen=True):
    """What to do next: triggers to run, to cancel (their task no longer waits) and to release (they moved away)."""

    to_create: list[RunTrigger]
    to_cancel: set[int]
    to_release: set[int] = set()
    events_persisted: list[int] | None = None


CHANGES = (
    Change("2026-10-30", StartTriggerer, down=drop("team_name")),
    Change(
        "2026-10-30",
        TriggerStateSync,
        down=lambda body: drop("to_release")(
            within("to_create", lambda trigger: within("ti", without_region)(drop("queued_at")(trigger)))(body)
        ),
    ),
)
