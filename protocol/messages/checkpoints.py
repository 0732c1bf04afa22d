"""Stop, checkpoint, resume: how a task gives up its machine without losing its work. All of it is Taskhand's own.

A checkpoint belongs to the task instance across its attempts. `SaveCheckpoint` is answered when the record is durable;
`CheckpointTask` ends the attempt on one; `GetCheckpoint` is how the next attempt begins. A stop reaches a child as
SIGTERM, which has no room for a reason, so a runner asks for it.
"""

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta

from protocol.messages.shape import Aware, Json, StrictMessage, StrictModel


class StopReason(StrEnum):
    """Why an attempt is asked to stop."""

    DRAIN = "drain"
    EVICT = "evict"
    DEPLOY = "deploy"
    USER_KILL = "user_kill"
    TIMEOUT = "timeout"
    FENCED = "fenced"
    MEMORY_PRESSURE = "memory_pressure"


class BlobReference(StrictModel, frozen=True):
    """Checkpoint data kept outside the record: written and hashed first, referenced second."""

    uri: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
    size: Annotated[int, Meta(ge=0)]


class CheckpointRecord(StrictModel, frozen=True):
    """One generation of a checkpoint, with data inline or as a blob."""

    seq: Annotated[int, Meta(ge=1)]
    """Grows by one with each save over the life of the task instance."""
    attempt: int
    """The try number that wrote it."""
    created: Aware
    progress: float | None = None
    fingerprint: str | None = None
    """Of the code, inputs and checkpoint schema that wrote it; another one is not resumed silently."""
    data: Json | None = None
    blob: BlobReference | None = None
    reason: str | None = None


class SaveCheckpoint(StrictMessage, frozen=True):
    """Record a checkpoint and go on."""

    data: Json | None = None
    blob: BlobReference | None = None
    progress: float | None = None
    fingerprint: str | None = None


class CheckpointSaved(StrictMessage, frozen=True):
    """The record is durable under this sequence number; `stopping` says that now is the moment to end on it.

    With the number 0 it will be durable with the word that ends the attempt on it: then nobody can be asked before.
    """

    seq: int
    stopping: bool = False


class CheckpointTask(StrictMessage, frozen=True):
    """The attempt ended on a checkpoint: on a last record when data or a blob is given, else on the one saved last."""

    end_date: Aware
    state: Literal["checkpointed"] = "checkpointed"
    data: Json | None = None
    blob: BlobReference | None = None
    progress: float | None = None
    fingerprint: str | None = None
    reason: StopReason | None = None
    hold: str | None = None
    """Why it is not to go on before a person says so."""


class GetCheckpoint(StrictMessage, frozen=True):
    """Ask for the record to resume from, as the resume policy chose it.

    Whoever says its own `fingerprint` is not given a record that another one wrote. Who could not use the record it was
    given asks again: which one (`passed_over`) and `why` are recorded, and the answer is the one before it.
    """

    fingerprint: str | None = None
    passed_over: Annotated[int, Meta(ge=1)] | None = None
    why: str | None = None


class CheckpointResult(StrictMessage, frozen=True):
    """The record to resume from; nil means a fresh start, and `note` says why when there was one to choose.

    `hold` says that it is neither: what wrote the record has changed, and its author wants a person to look. The
    attempt ends with `CheckpointTask(hold=…)`.
    """

    checkpoint: CheckpointRecord | None = None
    note: str | None = None
    hold: str | None = None


class StopRequest(StrictModel, frozen=True):
    """A stop that is under way: why, and until when the attempt may still run."""

    reason: StopReason
    deadline: Aware


class GetStopRequest(StrictMessage, frozen=True):
    """Ask whether, why and until when this attempt is being stopped."""


class StopRequestResult(StrictMessage, frozen=True):
    """The stop that is under way, or nil."""

    stop: StopRequest | None = None
