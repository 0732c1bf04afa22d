"""What an attempt may be told to have come to. One struct per way of ending; `/state` is made of these."""

from datetime import datetime
from typing import Any

from protocol.messages.checkpoints import BlobReference, StopReason
from protocol.states import TaskInstanceState
from server.records import FailureKind, Record


class OutletEvent(Record, frozen=True):
    """An asset that changed, as a successful attempt tells it."""

    name: str | None = None
    uri: str | None = None
    extra: dict[str, Any] | None = None
    partition_key: str | None = None


class Ended(Record, frozen=True):
    """It is over: `success`, `failed`, `skipped`, `removed` or `upstream_failed`."""

    state: TaskInstanceState
    end_date: datetime
    rendered_map_index: str | None = None
    outlets: tuple[OutletEvent, ...] = ()
    kind: FailureKind | None = None
    reason: str | None = None


class Retried(Record, frozen=True):
    """It failed and wants another try. An interruption that is not the task's fault spends none."""

    end_date: datetime
    rendered_map_index: str | None = None
    retry_delay_seconds: float | None = None
    retry_reason: str | None = None
    kind: FailureKind | None = None


class Rescheduled(Record, frozen=True):
    """It was not ready, or was stopped before it was done, and wants to be run again at a moment."""

    reschedule_date: datetime
    end_date: datetime
    kind: FailureKind | None = None
    reason: str | None = None


class Deferred(Record, frozen=True):
    """It waits for a trigger."""

    classpath: str
    next_method: str
    trigger_kwargs: dict[str, Any] | str | None = None
    trigger_timeout: float | None = None
    """Seconds from now."""
    queue: str | None = None
    next_kwargs: Any = None
    rendered_map_index: str | None = None


class AwaitingInput(Record, frozen=True):
    """It waits for a human's answer."""

    next_method: str
    timeout: float | None = None
    next_kwargs: Any = None
    rendered_map_index: str | None = None


class NewCheckpoint(Record, frozen=True):
    """What a checkpoint is saved with: data inline, or a blob that was written before."""

    data: Any = None
    blob: BlobReference | None = None
    progress: float | None = None
    fingerprint: str | None = None


class Checkpointed(Record, frozen=True):
    """It stopped at its last checkpoint, or at the one it brings, and wants to be resumed."""

    end_date: datetime
    checkpoint: NewCheckpoint | None = None
    reason: StopReason | None = None
    hold: str | None = None
    """Why it is not to go on before a person says so."""
    rendered_map_index: str | None = None


class ServerTerminated(Record, frozen=True):
    """The worker stopped what the server had told it to stop."""

    end_date: datetime
    reason: str | None = None


Outcome = Ended | Retried | Rescheduled | Deferred | AwaitingInput | Checkpointed | ServerTerminated
