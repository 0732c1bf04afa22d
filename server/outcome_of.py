"""From what a supervisor says to what the store takes. Values in, values out."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import singledispatch
from typing import Any

from protocol.http.instances import (
    TIAwaitingInput,
    TICheckpointed,
    TIDeferred,
    TIEnd,
    TIFailed,
    TIRemoved,
    TIReschedule,
    TIRetry,
    TIServerTerminated,
    TISkipped,
    TISuccess,
    TIUpstreamFailed,
)
from protocol.messages.shape import Duration
from protocol.states import TaskInstanceState
from server.outcomes import (
    AwaitingInput,
    Checkpointed,
    Deferred,
    Ended,
    NewCheckpoint,
    Outcome,
    OutletEvent,
    Rescheduled,
    Retried,
    ServerTerminated,
)
from server.records import FailureKind

_ALIAS = "AssetAlias"
_KINDS = {kind.value: kind for kind in FailureKind}


def outcome_of(end: TIEnd) -> Outcome:
    """Translate an end."""
    outcome: Outcome = _outcome(end)
    return outcome


@singledispatch
def _outcome(end: object) -> Outcome:
    raise TypeError(f"{end!r} is no end of an attempt")


@_outcome.register
def _(end: TISuccess) -> Outcome:
    outlets = tuple(outlets_of(end))
    return Ended(
        state=TaskInstanceState.SUCCESS,
        end_date=end.end_date,
        rendered_map_index=end.rendered_map_index,
        outlets=outlets,
    )


def _unsuccessful(end: TIFailed | TISkipped | TIRemoved | TIUpstreamFailed) -> Outcome:
    state = TaskInstanceState(str(end.__struct_config__.tag))
    return Ended(
        state=state,
        end_date=end.end_date,
        rendered_map_index=end.rendered_map_index,
        kind=_KINDS.get(end.kind or ""),
        reason=end.retry_reason,
    )


for _variant in (TIFailed, TISkipped, TIRemoved, TIUpstreamFailed):
    _outcome.register(_variant, _unsuccessful)


@_outcome.register
def _(end: TIServerTerminated) -> Outcome:
    return ServerTerminated(end_date=end.end_date, reason=end.retry_reason)


@_outcome.register
def _(end: TIRetry) -> Outcome:
    return Retried(
        end_date=end.end_date,
        rendered_map_index=end.rendered_map_index,
        retry_delay_seconds=end.retry_delay_seconds,
        retry_reason=end.retry_reason,
        kind=_KINDS.get(end.kind or ""),
    )


@_outcome.register
def _(end: TIReschedule) -> Outcome:
    return Rescheduled(
        reschedule_date=end.reschedule_date,
        end_date=end.end_date,
        kind=_KINDS.get(end.kind or ""),
        reason=end.retry_reason,
    )


@_outcome.register
def _(end: TIDeferred) -> Outcome:
    return Deferred(
        classpath=end.classpath,
        next_method=end.next_method,
        trigger_kwargs=end.trigger_kwargs,
        trigger_timeout=seconds_of(end.trigger_timeout),
        queue=end.queue,
        next_kwargs=end.next_kwargs,
        rendered_map_index=end.rendered_map_index,
    )


@_outcome.register
def _(end: TIAwaitingInput) -> Outcome:
    return AwaitingInput(
        next_method=end.next_method,
        timeout=seconds_of(end.timeout),
        next_kwargs=end.next_kwargs,
        rendered_map_index=end.rendered_map_index,
    )


@_outcome.register
def _(end: TICheckpointed) -> Outcome:
    brought = end.data is not None or end.blob is not None
    checkpoint = NewCheckpoint(data=end.data, blob=end.blob, progress=end.progress, fingerprint=end.fingerprint)
    return Checkpointed(
        end_date=end.end_date,
        checkpoint=checkpoint if brought else None,
        reason=end.reason,
        hold=end.hold,
        rendered_map_index=end.rendered_map_index,
    )


def seconds_of(span: Duration | None) -> float | None:
    """A span in either of its forms."""
    return span.total_seconds() if isinstance(span, timedelta) else span


def outlets_of(end: TISuccess) -> Iterator[OutletEvent]:
    """Give one event for each outlet that names an asset, and one for each that was added through an alias."""
    told = [event for event in end.outlet_events or [] if isinstance(event.get("dest_asset_key"), Mapping)]
    for outlet in end.task_outlets or []:
        if outlet.type == _ALIAS:
            continue
        own = [event for event in told if _names(event, outlet.name, outlet.uri) and not event.get("source_alias_name")]
        for event in own or [{}]:
            yield _event(outlet.name, outlet.uri, event)
    for event in told:
        if event.get("source_alias_name"):
            key = event["dest_asset_key"]
            yield _event(key.get("name"), key.get("uri"), event)


def _names(event: Mapping[str, Any], name: str | None, uri: str | None) -> bool:
    key = event["dest_asset_key"]
    return (name is None or key.get("name") == name) and (uri is None or key.get("uri") == uri)


def _event(name: object, uri: object, event: Mapping[str, Any]) -> OutletEvent:
    extra, partition = event.get("extra"), event.get("partition_key")
    return OutletEvent(
        name=name if isinstance(name, str) else None,
        uri=uri if isinstance(uri, str) else None,
        extra=dict(extra) if isinstance(extra, Mapping) else None,
        partition_key=partition if isinstance(partition, str) else None,
    )
