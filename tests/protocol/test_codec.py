import tracemalloc
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import errors, versions
from protocol.changes import Change
from protocol.codec import Codec, Question, Reply, Unreadable, outgoing, reading
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
        (b"\x91" * 10_000, errors.NotMsgpack),
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


PAYLOADS = [pack([3, full(message), None]) for message in sorted(TASK.questions, key=lambda each: each.__name__)]


@fuzz
@given(
    payload=st.sampled_from(PAYLOADS),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=3)), min_size=1, max_size=4),
)
def test_a_message_with_bytes_changed_is_read_refused_or_a_fault_alike_at_each_version(
    payload: bytes, changes: list[tuple[int, bytes]]
) -> None:
    for place, piece in changes:
        payload = payload[: place % len(payload)] + piece + payload[place % len(payload) + 1 :]
    verdicts: list[tuple[type, object]] = []
    for codec in (questions(), questions(version=OLDEST), questions(allowed=TASK.questions)):
        try:
            verdict = codec.read(payload)
            verdicts.append((type(verdict), getattr(verdict, "id", None)))
        except RemoteProtocolError as fault:
            verdicts.append((type(fault), None))
    newest, oldest, allowed = verdicts
    assert newest == allowed
    assert newest == oldest or oldest == (Unreadable, newest[1])


def test_a_second_type_does_not_smuggle_in_what_may_not_be_sent() -> None:
    body = b"\x83\xa4type\xabPutVariable\xa4type\xabGetVariable\xa3key\xa1k"
    codec = questions(allowed=frozenset({GetVariable}))
    assert isinstance(codec.read(b"\x92\x01" + body), Unreadable)


@pytest.mark.parametrize("number", [1, 200, 60_000, 2**31, 2**63])
def test_what_is_nested_too_deeply_is_refused_under_its_id(number: int) -> None:
    payload = b"\x93" + pack(number) + b"\x82\xa4type\xaaMaskSecret\xa5value" + b"\x91" * 5000 + b"\xc0\xc0"
    unreadable = questions().read(payload)
    assert isinstance(unreadable, Unreadable)
    assert (unreadable.id, type(unreadable.fault)) == (number, errors.TooDeep)


def test_what_would_become_too_much_is_refused_under_its_id() -> None:
    unreadable = questions().read(pack([5, {"type": "MaskSecret", "value": [[]] * 1_000_001}]))
    assert isinstance(unreadable, Unreadable)
    assert (unreadable.id, type(unreadable.fault)) == (5, errors.TooManyValues)


def test_keys_that_are_not_text_are_refused_where_they_could_be_many() -> None:
    unreadable = questions().read(pack([5, {"type": "MaskSecret", "value": {n: n for n in range(10_000)}}]))
    assert isinstance(unreadable, Unreadable)
    assert str(unreadable.fault) == "expected text as a map's key, came a key that begins with byte 0x00"


def test_a_step_up_is_taken_where_a_version_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    change = Change(HEAD, GetVariable, down=None, up=lambda body: body | {"key": body["name"]})
    monkeypatch.setattr(versions, "CHANGES", (msgspec.structs.replace(change, down=lambda body: body),))
    # What reads a kind of conversation is made once, and these changes are not those it was made from.
    monkeypatch.setattr("protocol.codec.reading", reading.__wrapped__)
    codec = questions(version=OLDEST)
    assert codec.read(pack([1, {"type": "GetVariable", "name": "k"}])) == Question(1, GetVariable("k"))
    assert isinstance(codec.read(pack([1, {"type": "PutVariable"}])), Unreadable)
    assert isinstance(codec.read(pack([1, None])), Unreadable)


def test_a_claim_of_many_elements_takes_no_memory_for_them() -> None:
    tracemalloc.start()
    for claim in (b"\xdd\xff\xff\xff\xff", b"\x92\x01\xdf\xff\xff\xff\xff", b"\x92\x01\xdb\xff\xff\xff\xff"):
        with pytest.raises(errors.NotMsgpack):
            questions().read(claim)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000
