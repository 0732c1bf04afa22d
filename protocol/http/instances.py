"""What a supervisor tells the server about one attempt: it runs, it lives, it ended.

The variants of the end are told apart by `state`. None takes a key it does not know: an outcome with a surplus key is
one that the server would misunderstand.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

from protocol.messages.assets import AssetProfile
from protocol.messages.checkpoints import BlobReference, StopReason
from protocol.messages.shape import Aware, Duration, Json, StrictModel
from protocol.messages.startup import LoopDecisionPayload

Host = Annotated[str, Meta(max_length=1000)]
Pid = Annotated[int, Meta(ge=0, le=4_294_967_295)]
Label = Annotated[str, Meta(max_length=10_000)]
Kwargs = dict[str, Json | None]


class TIEnterRunningPayload(StrictModel, frozen=True, tag_field="state", tag="running"):
    """The attempt has a process and is about to begin."""

    hostname: Host
    unixname: Host
    pid: Pid
    start_date: Aware


class TIHeartbeatInfo(StrictModel, frozen=True):
    """The attempt lives, here."""

    hostname: Host
    pid: Pid


REMARK_CAP = 500


class AttemptRemark(StrictModel, frozen=True):
    """Something about the attempt that belongs into its timeline and changes nothing. Our own."""

    why: Annotated[str, Meta(min_length=1, max_length=REMARK_CAP)]


class _End(Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag_field="state", kw_only=True):
    """What every end has."""


class _Ended(_End, frozen=True, kw_only=True):
    """An end with a moment, and with whose it was: newer supervisors say the latter."""

    end_date: Aware
    rendered_map_index: Label | None = None
    hostname: Host | None = None
    pid: Pid | None = None


class TISuccess(_Ended, frozen=True, tag="success", kw_only=True):
    """It succeeded, and these assets changed."""

    task_outlets: list[AssetProfile] | None = None
    outlet_events: list[dict[str, Any]] | None = None
    loop_decision: LoopDecisionPayload | None = None


class _Unsuccessful(_Ended, frozen=True, kw_only=True):
    retry_reason: str | None = None
    loop_decision: LoopDecisionPayload | None = None
    kind: Annotated[str, Meta(max_length=100)] | None = None
    """The kind of failure, in one of the words of the truth table. Taskhand's own."""


class TIFailed(_Unsuccessful, frozen=True, tag="failed", kw_only=True):
    """It failed, and is not to be tried again."""


class TISkipped(_Unsuccessful, frozen=True, tag="skipped", kw_only=True):
    """It had nothing to do."""


class TIRemoved(_Unsuccessful, frozen=True, tag="removed", kw_only=True):
    """It is no longer part of its flow."""


class TIUpstreamFailed(_Unsuccessful, frozen=True, tag="upstream_failed", kw_only=True):
    """It found that what it depends on had failed."""


class TIServerTerminated(_Unsuccessful, frozen=True, tag="server_terminated", kw_only=True):
    """It was stopped because the server had said that it must not run: an acknowledgement, not an outcome."""


class TIRetry(_Ended, frozen=True, tag="up_for_retry", kw_only=True):
    """It failed and should be tried again."""

    retry_delay_seconds: Annotated[float, Meta(ge=0, le=31_536_000)] | None = None
    retry_reason: str | None = None
    kind: Annotated[str, Meta(max_length=100)] | None = None


class TIReschedule(_End, frozen=True, tag="up_for_reschedule", kw_only=True):
    """It is not ready, and asks for a later moment."""

    reschedule_date: Aware
    end_date: Aware
    retry_reason: str | None = None
    """Why it goes back to the queue, when it was stopped before it was done. This and the kind are Taskhand's own."""
    kind: Annotated[str, Meta(max_length=100)] | None = None


class TIDeferred(_End, frozen=True, tag="deferred", kw_only=True):
    """It waits for a trigger. Its arguments are opaque here."""

    classpath: Annotated[str, Meta(min_length=1, max_length=1000)]
    next_method: Annotated[str, Meta(min_length=1, max_length=1000)]
    trigger_kwargs: Kwargs | str | None = None
    trigger_timeout: Duration | None = None
    queue: Annotated[str, Meta(max_length=250)] | None = None
    next_kwargs: Kwargs | None = None
    rendered_map_index: Label | None = None


class TIAwaitingInput(_End, frozen=True, tag="awaiting_input", kw_only=True):
    """It waits for a human's answer."""

    next_method: Annotated[str, Meta(min_length=1, max_length=1000)]
    timeout: Duration | None = None
    next_kwargs: Kwargs | None = None
    rendered_map_index: Label | None = None


class TICheckpointed(_End, frozen=True, tag="checkpointed", kw_only=True):
    """It ended on a checkpoint: on a last record when data or a blob is given, else on the one saved last. Our own."""

    end_date: Aware
    data: Json | None = None
    blob: BlobReference | None = None
    progress: float | None = None
    fingerprint: str | None = None
    reason: StopReason | None = None
    hold: Annotated[str, Meta(max_length=1000)] | None = None
    """Why it is not to go on before a person says so."""
    rendered_map_index: Label | None = None


TIEnd = (
    TISuccess
    | TIFailed
    | TISkipped
    | TIRemoved
    | TIUpstreamFailed
    | TIServerTerminated
    | TIRetry
    | TIReschedule
    | TIDeferred
    | TIAwaitingInput
    | TICheckpointed
)
"""The body of `PATCH /task-instances/{id}/state`."""


class SkipDownstream(StrictModel, frozen=True):
    """Skip these tasks of the run, each by id or by id and map index."""

    tasks: Annotated[list[str | tuple[str, int]], Meta(max_length=100_000)]
