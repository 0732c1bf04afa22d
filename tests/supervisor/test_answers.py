"""What handlers do besides asking: secrets, conflicts, checkpoints and ledgers."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from protocol.messages.checkpoints import (
    CheckpointResult,
    CheckpointSaved,
    GetCheckpoint,
    GetStopRequest,
    SaveCheckpoint,
    StopReason,
    StopRequest,
    StopRequestResult,
)
from protocol.messages.control import (
    ErrorResponse,
    ErrorType,
    GiveReason,
    OKResponse,
    ResendLoggingFD,
    SentFDs,
    SetRenderedFields,
)
from protocol.messages.jobs import JobAcknowledged, JobEnded, JobIntent, JobRecord, RecordJob
from protocol.messages.runs import TriggerDagRun
from protocol.messages.variables import GetConnection, GetVariable, MaskSecret
from protocol.messages.xcoms import GetXComCount, XComCountResponse
from supervisor.answers.checkpoints import follows
from tests.supervisor.desks import TI, FakeDesk, asked, found, refused

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_secrets_are_masked_before_the_child_has_them() -> None:
    body: dict[str, Any] = dict.fromkeys(("host", "schema", "login", "port"))
    body |= {"conn_id": "c", "conn_type": "t", "password": "pw", "extra": '{"k": "sec"}'}
    desk = FakeDesk(found(msgspec.json.encode(body)))
    asked(desk, GetConnection("c"))
    assert desk.masked == ["pw", {"k": "sec"}]
    desk = FakeDesk(found(msgspec.json.encode(body | {"extra": "not json", "password": None})))
    asked(desk, GetConnection("c"))
    assert desk.masked == [None]


@pytest.mark.parametrize(("key", "masked"), [("db_password", ["v"]), ("API_KEY", ["v"]), ("colour", [])])
def test_a_variable_is_masked_when_its_name_says_so(key: str, masked: list[str]) -> None:
    desk = FakeDesk(found(msgspec.json.encode({"key": key, "value": "v"})))
    asked(desk, GetVariable(key))
    assert desk.masked == masked


def test_a_task_may_mask_what_it_likes() -> None:
    desk = FakeDesk()
    assert asked(desk, MaskSecret(["a", {"b": "c"}])) is None
    assert desk.masked == [["a", {"b": "c"}]]


def test_a_reason_is_kept_for_the_word_that_it_is_about() -> None:
    desk = FakeDesk()
    assert asked(desk, GiveReason("not there yet")) is None
    assert desk.api.reason == "not there yet"
    assert desk.wire.asked == []


def test_a_stop_is_told_with_its_reason() -> None:
    stop = StopRequest(StopReason.DRAIN, NOW)
    assert asked(FakeDesk(stop=stop), GetStopRequest()) == StopRequestResult(stop)
    assert asked(FakeDesk(), GetStopRequest()) == StopRequestResult(None)


def test_a_count_is_read_from_its_header() -> None:
    question = GetXComCount("k", "d", "r", "t")
    assert asked(FakeDesk(found(content_range="map_indexes 3")), question) == XComCountResponse(3)
    for strange in ("bytes 3", "map_indexes x", ""):
        assert isinstance(asked(FakeDesk(found(content_range=strange)), question), ErrorResponse)


def test_another_log_channel_is_to_be_had_while_there_are_not_too_many() -> None:
    desk = FakeDesk()
    desk.channels.append(7)
    assert asked(desk, ResendLoggingFD()) == SentFDs([7])
    assert isinstance(asked(desk, ResendLoggingFD()), ErrorResponse)


def test_rendered_fields_of_an_archived_attempt_are_not_missed() -> None:
    assert asked(FakeDesk(refused(410)), SetRenderedFields({})) is None


CONFLICT = refused(409, "already_exists")


def test_a_run_that_exists_is_said_to() -> None:
    reply = asked(FakeDesk(CONFLICT), TriggerDagRun("d", "r"))
    assert isinstance(reply, ErrorResponse)
    assert reply.error is ErrorType.DAGRUN_ALREADY_EXISTS


def test_a_run_that_exists_is_cleared_when_that_was_asked_for() -> None:
    desk = FakeDesk(CONFLICT, found())
    assert asked(desk, TriggerDagRun("d", "r", reset_dag_run=True)) == OKResponse(ok=True)
    assert [target for _, target, _ in desk.wire.asked] == ["/dag-runs/d/r", "/dag-runs/d/r/clear"]


# --- checkpoints on a server that has no route for them ----------------------------------------------------------


def test_a_checkpoint_is_kept_in_the_state_store_of_a_server_that_knows_none() -> None:
    desk = FakeDesk(refused(404), found(), extended=False)
    assert asked(desk, SaveCheckpoint(data={"a": 1}, progress=2.0)) == CheckpointSaved(1, stopping=False)
    method, target, body = desk.wire.asked[1]
    assert (method, target) == ("PUT", f"/store/ti/{TI}/taskhand.checkpoint")
    kept = msgspec.json.decode(body or b"")["value"]
    assert (kept["seq"], kept["data"], kept["progress"]) == (1, {"a": 1}, 2.0)
    assert desk.noted == ["saved"]
    stored = found(msgspec.json.encode({"value": kept}))
    reply = asked(FakeDesk(stored, extended=False), GetCheckpoint())
    assert isinstance(reply, CheckpointResult)
    assert reply.checkpoint is not None
    assert reply.checkpoint.data == {"a": 1}
    again = FakeDesk(stored, found(), extended=False, stop=StopRequest(StopReason.DRAIN, NOW))
    assert asked(again, SaveCheckpoint(data=1)) == CheckpointSaved(2, stopping=True)


def test_a_checkpoint_that_was_not_kept_is_not_on_record() -> None:
    desk = FakeDesk(refused(403), extended=False)
    assert isinstance(asked(desk, SaveCheckpoint(data=1)), ErrorResponse)
    assert desk.noted == []


def test_there_is_none_to_resume_from() -> None:
    assert asked(FakeDesk(refused(404), extended=False), GetCheckpoint()) == CheckpointResult(None)


# --- the ledger --------------------------------------------------------------------------------------------------

INTENT, ACK, ENDED = JobIntent(1, "k"), JobAcknowledged(1, "k", "x"), JobEnded(1, "k", "failed")


@pytest.mark.parametrize(
    ("last", "entry", "may"),
    [
        (None, INTENT, True),
        (None, ACK, False),
        (INTENT, INTENT, True),
        (INTENT, ACK, True),
        (INTENT, ENDED, True),
        (ACK, INTENT, False),
        (ACK, JobAcknowledged(1, "other", "x"), False),
        (ACK, JobIntent(2, "k2"), False),
        (ENDED, JobIntent(2, "k2"), True),
        (ENDED, JobAcknowledged(2, "k2", "x"), False),
        (ENDED, JobIntent(3, "k3"), False),
    ],
)
def test_what_may_follow_what_in_a_ledger(last: JobRecord | None, entry: JobRecord, may: bool) -> None:  # noqa: FBT001 - a column of the table above
    assert follows(entry, last) is may


def test_an_entry_is_written_after_the_last_one_was_read() -> None:
    desk = FakeDesk(refused(404), found())
    assert asked(desk, RecordJob("j", INTENT)) == OKResponse(ok=True)
    value = msgspec.json.decode(desk.wire.asked[1][2] or b"")
    refusing = FakeDesk(found(msgspec.json.encode(value)))
    reply = asked(refusing, RecordJob("j", JobIntent(2, "k2")))
    assert isinstance(reply, ErrorResponse)
    assert (reply.detail or {})["status_code"] == 409
    assert len(refusing.wire.asked) == 1
