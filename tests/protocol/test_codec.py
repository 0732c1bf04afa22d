import tracemalloc
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import errors
from protocol.codec import Codec, Question, Reply, Unreadable, outgoing
from protocol.errors import BadMessage, LocalProtocolError, RemoteProtocolError
from protocol.messages.control import ErrorResponse, ErrorType, OKResponse, SetExecutionTimeout
from protocol.messages.outcomes import SucceedTask
from protocol.messages.shape import Message
from protocol.messages.startup import StartupDetails
from protocol.messages.variables import GetVariable
from protocol.messages.xcoms import GetXCom
from protocol.versions import HEAD, OLDEST, exists
from protocol.vocabulary import TASK, TRIGGERER
from tests.fuzzing import fuzz
from tests.protocol.samples import GREETING, IDENTITY, MOMENT, as_map, full

pack = msgspec.msgpack.encode
ASK = {"type": "GetVariable", "key": "k"}


def questions(**options: Any) -> Codec[Question[Message]]:
    return Codec(Question, TASK, **options)


def replies(**options: Any) -> Codec[Reply[Message]]:
    return Codec(Reply, TASK, **options)


@pytest.mark.parametrize(
    ("rest", "carrier", "ti_id"),
    [
        ([], None, None),
        ([None], None, None),
        ([{"traceparent": "00-1"}], {"traceparent": "00-1"}, None),
        ([None, str(IDENTITY)], None, IDENTITY),
        ([None, None, "x", 5], None, None),
    ],
)
def test_two_to_four_elements_are_taken_and_more_are_ignored(
    rest: list[object], carrier: dict[str, str] | None, ti_id: UUID | None
) -> None:
    assert questions().read(pack([7, ASK, *rest])) == Question(7, GetVariable("k"), carrier, ti_id)


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (b"\xc1", errors.NotMsgpack),
        (pack([1, ASK]) + b"\x00", errors.NotMsgpack),
        (pack([1, ASK])[:-1], errors.NotMsgpack),
        (b"\x91" * 100_000, errors.NotMsgpack),
        (pack({"id": 1}), errors.NotAnArray),
        (pack(5), errors.NotAnArray),
        (pack([]), errors.ShortFrame),
        (pack([1]), errors.ShortFrame),
        (pack(["1", ASK]), errors.BadId),
        (pack([-1, ASK]), errors.BadId),
        (pack([1.5, ASK]), errors.BadId),
        (pack([None, ASK]), errors.BadId),
        (pack([True, ASK]), errors.BadId),
    ],
)
def test_a_frame_without_an_id_to_answer_raises(payload: bytes, fault: type[RemoteProtocolError]) -> None:
    with pytest.raises(fault) as caught:
        questions().read(payload)
    assert type(caught.value) is fault
    assert caught.value.expected
    assert caught.value.came


@pytest.mark.parametrize(
    ("elements", "fault"),
    [
        ([None], errors.NoBody),
        ([5], errors.BadField),
        ([["GetVariable"]], errors.BadField),
        ([{}], errors.UnknownType),
        ([{"type": "Surprise"}], errors.UnknownType),
        ([{"type": "x" * 1000}], errors.UnknownType),
        ([{"type": "VariableResult", "key": "k", "value": None}], errors.UnknownType),
        ([{"type": 5}], errors.BadField),
        ([{"type": "GetVariable"}], errors.BadField),
        ([{"type": "GetVariable", "key": 5}], errors.BadField),
        ([{"type": "SucceedTask", "end_date": MOMENT, "surplus": 1}], errors.BadField),
        ([ASK, 5], errors.BadField),
        ([ASK, None, "not a uuid"], errors.BadField),
        ([{5: "GetVariable"}], errors.BadField),
    ],
)
def test_a_frame_with_an_id_is_the_askers_problem(elements: list[object], fault: type[BadMessage]) -> None:
    unreadable = questions().read(pack([9, *elements]))
    assert isinstance(unreadable, Unreadable)
    assert unreadable.id == 9
    assert type(unreadable.fault) is fault
    assert len(str(unreadable.fault)) < 400


def test_text_that_is_not_text_still_has_its_id() -> None:
    payload = b"\x92\x03\x82\xa4type\xabGetVariable\xa3key\xa2\xff\xfe"
    unreadable = questions().read(payload)
    assert isinstance(unreadable, Unreadable)
    assert (unreadable.id, type(unreadable.fault)) == (3, errors.BadField)


def test_only_what_a_runtime_may_send_is_taken() -> None:
    codec = questions(allowed=frozenset({GetVariable}))
    assert isinstance(codec.read(pack([1, ASK])), Question)
    unreadable = codec.read(pack([2, as_map(full(GetXCom))]))
    assert isinstance(unreadable, Unreadable)
    assert type(unreadable.fault) is errors.NotAllowed


def test_a_conversation_has_its_own_vocabulary() -> None:
    codec: Codec[Question[Message]] = Codec(Question, TRIGGERER)
    assert isinstance(codec.read(pack([1, {"type": "TriggerStateChanges"}])), Question)
    assert isinstance(codec.read(pack([1, as_map(full(SucceedTask))])), Unreadable)


@pytest.mark.parametrize(
    ("elements", "reply"),
    [
        ([5], Reply(5)),
        ([5, None], Reply(5)),
        ([5, None, None, "surplus"], Reply(5)),
        ([5, {"type": "OKResponse", "ok": True}], Reply(5, OKResponse(ok=True))),
        (
            [5, None, {"type": "ErrorResponse", "error": "API_SERVER_ERROR", "detail": {"a": 1}}],
            Reply(5, None, ErrorResponse(ErrorType.API_SERVER_ERROR, {"a": 1})),
        ),
    ],
)
def test_replies(elements: list[object], reply: Reply[Message]) -> None:
    assert replies().read(pack(elements)) == reply


@pytest.mark.parametrize("elements", [[], ["5"]])
def test_a_reply_needs_only_its_id(elements: list[object]) -> None:
    with pytest.raises((errors.ShortFrame, errors.BadId)):
        replies().read(pack(elements))


def test_a_reply_that_cannot_be_read_still_has_its_id() -> None:
    assert isinstance(replies().read(pack([5, {"type": "Surprise"}])), Unreadable)
    assert isinstance(replies().read(pack([5, None, {"type": "ErrorResponse", "error": "SURPRISE"}])), Unreadable)


def test_an_empty_reply_is_empty_at_every_version() -> None:
    assert replies(version=OLDEST).read(pack([5, None, None])) == Reply(5)


def test_an_older_greeting_is_read_and_written() -> None:
    body = outgoing(GREETING, OLDEST)
    assert isinstance(body, dict)
    assert "loop" not in body["ti_context"]
    read = replies(version=OLDEST).read(pack([0, body]))
    assert isinstance(read, Reply)
    assert isinstance(read.body, StartupDetails)
    assert read.body == GREETING
    assert outgoing(GREETING, HEAD) is GREETING


def test_an_older_peer_cannot_say_what_came_later() -> None:
    body = {"type": "SetExecutionTimeout", "timeout_seconds": 5}
    assert isinstance(questions().read(pack([1, body])), Question)
    unreadable = questions(version=OLDEST).read(pack([1, body]))
    assert isinstance(unreadable, Unreadable)
    assert str(unreadable.fault) == "expected a message of version 2026-06-16, came 'SetExecutionTimeout'"
    with pytest.raises(LocalProtocolError):
        outgoing(SetExecutionTimeout(5.0), OLDEST)


def test_an_unknown_version_is_refused_at_once() -> None:
    with pytest.raises(LocalProtocolError, match="2020-01-01"):
        questions(version="2020-01-01")


@pytest.mark.parametrize("version", [OLDEST, HEAD])
def test_every_question_is_the_same_after_the_wire(version: str) -> None:
    codec = questions(version=version)
    for message in TASK.questions:
        if exists(message.__name__, version):
            question = codec.read(pack([1, outgoing(full(message), version), None]))
            assert isinstance(question, Question)
            assert type(question.body) is message


def test_a_reply_of_every_kind_is_the_same_after_the_wire() -> None:
    for message in TASK.replies:
        assert replies().read(pack([1, full(message)])) == Reply(1, full(message))


@fuzz
@given(payload=st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_the_peers_fault(payload: bytes) -> None:
    for codec in (questions(), replies(), questions(version=OLDEST)):
        with suppress(RemoteProtocolError):
            codec.read(payload)


WILD = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["type", "key", "state"]), inner),
    max_leaves=5,
)


@fuzz
@given(
    name=st.sampled_from(sorted(message.__name__ for message in TASK.questions)),
    fields=st.dictionaries(st.sampled_from(["key", "dag_id", "run_id", "value", "state", "end_date", "ti_id"]), WILD),
    rest=st.lists(WILD, max_size=3),
)
def test_anything_under_an_id_is_read_or_refused(name: str, fields: dict[str, object], rest: list[object]) -> None:
    assert isinstance(questions().read(pack([3, fields | {"type": name}, *rest])), Question | Unreadable)


def test_a_claim_of_many_elements_takes_no_memory_for_them() -> None:
    tracemalloc.start()
    for claim in (b"\xdd\xff\xff\xff\xff", b"\x92\x01\xdf\xff\xff\xff\xff", b"\x92\x01\xdb\xff\xff\xff\xff"):
        with pytest.raises(errors.NotMsgpack):
            questions().read(claim)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000
