"""Values at their edges, through one message each way: what is inside has to survive, or be refused by both."""

from datetime import UTC, datetime, timedelta, timezone
from math import inf, nan
from typing import Any
from uuid import UUID

import pytest

from protocol.codec import Codec, Question, Unreadable
from protocol.errors import LocalProtocolError
from protocol.frames import FrameReader, encode_frame
from protocol.messages.control import ErrorResponse, ErrorType
from protocol.messages.outcomes import DeferTask, RescheduleTask, TaskState
from protocol.messages.shape import Message
from protocol.messages.xcoms import SetXCom
from protocol.vocabulary import TASK
from tests.interop.ours import opened, unlike
from tests.interop.peer.plain import plain
from tests.interop.peers import Peer

pytestmark = [pytest.mark.interop, pytest.mark.slow]

NAIVE = datetime(2026, 11, 20, 8, 15, 30, 250_000)  # noqa: DTZ001 - a naive moment is what is tried
AWARE = datetime(2026, 11, 20, 8, 15, 30, 250_000, tzinfo=UTC)
AHEAD = datetime(2026, 11, 20, 8, 15, 30, tzinfo=timezone(timedelta(hours=13, minutes=45)))

JSON = {
    "the largest integer": 2**64 - 1,
    "the smallest integer": -(2**63),
    "not a number": nan,
    "endless": [inf, -inf],
    "negative zero": -0.0,
    "the smallest float": 5e-324,
    "text beyond the plane": "ü\U0001f600\x00\n",
    "deep": [{"a": [{"b": [{"c": [None, True, {}]}]}]}] * 3,
    "much": [list(range(1000)), {str(n): n for n in range(1000)}],
    "a number as a name": {"1": 1, "": 2},
}


def xcom(value: Any) -> SetXCom:
    return SetXCom("key", value, "flow", "run", "task")


def deferred(timeout: timedelta | float | None) -> DeferTask:
    return DeferTask("some.Trigger", "resume", trigger_timeout=timeout)


MESSAGES: dict[str, Message] = {
    **{name: xcom(value) for name, value in JSON.items()},
    "a naive moment": TaskState("failed", end_date=NAIVE),
    "a moment in UTC": TaskState("failed", end_date=AWARE),
    "a moment ahead of UTC": RescheduleTask(AHEAD, AHEAD),
    "the first moment": RescheduleTask(datetime(1, 1, 1, tzinfo=UTC), AWARE),
    "the last moment": RescheduleTask(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), AWARE),
    "a duration in seconds": deferred(3602.5),
    "no time at all": deferred(timedelta(0)),
    "a long time": deferred(timedelta(days=999_999, microseconds=1)),
    "time backwards": deferred(timedelta(seconds=-1.5)),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_they_take_a_value_as_we_meant_it(peer: Peer, name: str) -> None:
    message = MESSAGES[name]
    (row,) = peer.do("read", union="ToSupervisor", frames=[encode_frame([1, message, None]).hex()])
    assert "refused" not in row, row
    assert not list(unlike(message, row["value"]))


@pytest.mark.parametrize("name", MESSAGES)
def test_we_take_a_value_as_they_wrote_it(peer: Peer, name: str) -> None:
    """Theirs reads ours and writes it again its own way."""
    message = MESSAGES[name]
    (row,) = peer.do("echo", union="ToSupervisor", frames=[encode_frame([1, message, None]).hex()])
    (payload,) = FrameReader().feed(bytes.fromhex(row["hex"]))
    frame = Codec(Question, TASK, peer.wire).read(payload)
    assert not isinstance(frame, Unreadable), frame
    assert not list(unlike(frame.body, row["value"]))
    assert not list(unlike(message, row["value"]))


ANY: dict[str, dict[str, object]] = {
    "moments inside": {"at": AWARE, "list": [AHEAD]},
    "bytes inside": {"blob": b"\x00\xff", "empty": b""},
    "an identity inside is its text": {"id": str(UUID(int=7))},
}


@pytest.mark.parametrize("name", ANY)
def test_where_they_take_anything_they_take_what_json_has_no_form_for(peer: Peer, name: str) -> None:
    error = ErrorResponse(ErrorType.GENERIC_ERROR, ANY[name])
    (row,) = peer.do("read", union="ToTask", frames=[encode_frame([1, error, None]).hex()])
    assert row["value"]["detail"] == plain(ANY[name], opened)


@pytest.mark.parametrize("value", [AWARE, b"\x00"], ids=["a moment", "bytes"])
def test_where_they_take_json_they_refuse_what_it_has_no_form_for(peer: Peer, value: object) -> None:
    """Ours keeps such a value; a runner of ours that speaks to their supervisor has to serialise it first."""
    (row,) = peer.do("read", union="ToSupervisor", frames=[encode_frame([1, xcom(value), None]).hex()])
    assert "input was not a valid JSON value" in row["refused"]


def test_an_integer_without_a_form_is_the_writers_fault_on_both_sides(peer: Peer) -> None:
    with pytest.raises(LocalProtocolError):
        encode_frame([1, xcom(2**64), None])
    assert peer.do("unwritable", value=2**64) == "OverflowError"
