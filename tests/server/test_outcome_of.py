"""What a supervisor says, as the store takes it."""

from datetime import UTC, datetime
from typing import Any, cast, get_args

import msgspec
import pytest

from protocol.http.instances import TIEnd
from protocol.states import TaskInstanceState
from server.outcome_of import outcome_of, outlets_of
from server.outcomes import (
    AwaitingInput,
    Checkpointed,
    Deferred,
    Ended,
    OutletEvent,
    Rescheduled,
    Retried,
    ServerTerminated,
)
from server.records import FailureKind
from tests.protocol.http.test_instances import ENDS, WHEN

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def end(state: str, **fields: Any) -> Any:
    return msgspec.convert({"state": state} | fields, TIEnd)


@pytest.mark.parametrize("state", ENDS)
def test_every_end_is_an_outcome(state: str) -> None:
    assert outcome_of(end(state, **ENDS[state])) is not None


def test_all_variants_are_known() -> None:
    assert len(get_args(TIEnd)) == len(ENDS)
    with pytest.raises(TypeError):
        outcome_of(cast("Any", object()))


@pytest.mark.parametrize("state", ["failed", "skipped", "removed", "upstream_failed"])
def test_an_unsuccessful_end_keeps_its_state_and_kind(state: str) -> None:
    outcome = outcome_of(end(state, end_date=WHEN, kind="oom", retry_reason="it grew"))
    assert outcome == Ended(state=TaskInstanceState(state), end_date=AT, kind=FailureKind.OOM, reason="it grew")


def test_a_kind_nobody_knows_is_none() -> None:
    outcome = outcome_of(end("failed", end_date=WHEN, kind="cosmic"))
    assert isinstance(outcome, Ended)
    assert outcome.kind is None


def test_waits() -> None:
    assert outcome_of(end("up_for_reschedule", end_date=WHEN, reschedule_date=WHEN)) == Rescheduled(
        reschedule_date=AT, end_date=AT
    )
    assert outcome_of(
        end("up_for_reschedule", end_date=WHEN, reschedule_date=WHEN, kind="evicted", retry_reason="stopped")
    ) == Rescheduled(reschedule_date=AT, end_date=AT, kind=FailureKind.EVICTED, reason="stopped")
    assert outcome_of(end("up_for_retry", end_date=WHEN, retry_delay_seconds=2, kind="app")) == Retried(
        end_date=AT, retry_delay_seconds=2, kind=FailureKind.APP
    )
    assert outcome_of(
        end("deferred", classpath="a.B", next_method="m", trigger_timeout="PT1M30S", trigger_kwargs={"x": 1})
    ) == Deferred(classpath="a.B", next_method="m", trigger_timeout=90.0, trigger_kwargs={"x": 1})
    assert outcome_of(end("awaiting_input", next_method="m", timeout=5)) == AwaitingInput(next_method="m", timeout=5)
    assert outcome_of(end("server_terminated", end_date=WHEN)) == ServerTerminated(end_date=AT)


def test_a_checkpoint_comes_along_or_does_not() -> None:
    without, brought = (outcome_of(end("checkpointed", end_date=WHEN, data=data)) for data in (None, {"step": 3}))
    assert isinstance(without, Checkpointed)
    assert isinstance(brought, Checkpointed)
    assert without.checkpoint is None
    assert brought.checkpoint is not None
    assert brought.checkpoint.data == {"step": 3}


KEY = {"name": "a", "uri": "u"}


@pytest.mark.parametrize(
    ("outlets", "told", "events"),
    [
        ([], [], []),
        ([{"type": "Asset", "name": "a", "uri": "u"}], [], [OutletEvent(name="a", uri="u")]),
        (
            [{"type": "Asset", "name": "a", "uri": "u"}],
            [{"dest_asset_key": KEY, "extra": {"rows": 3}}, {"dest_asset_key": {"name": "b", "uri": "v"}, "extra": {}}],
            [OutletEvent(name="a", uri="u", extra={"rows": 3})],
        ),
        (
            [{"type": "AssetNameRef", "name": "a"}],
            [{"dest_asset_key": KEY, "extra": {}, "partition_key": key} for key in ("p", "q")],
            [OutletEvent(name="a", extra={}, partition_key=key) for key in ("p", "q")],
        ),
        ([{"type": "AssetUriRef", "uri": "u"}], [{"surprise": 1}], [OutletEvent(uri="u")]),
        (
            [{"type": "AssetAlias", "name": "x"}],
            [{"source_alias_name": "x", "dest_asset_key": KEY, "dest_asset_extra": {}, "extra": {"k": 1}}],
            [OutletEvent(name="a", uri="u", extra={"k": 1})],
        ),
        ([], [{"source_alias_name": "x", "dest_asset_key": {"name": 3}, "extra": 3}], [OutletEvent()]),
    ],
)
def test_outlets_are_events(
    outlets: list[dict[str, Any]], told: list[dict[str, Any]], events: list[OutletEvent]
) -> None:
    assert list(outlets_of(end("success", end_date=WHEN, task_outlets=outlets, outlet_events=told))) == events
