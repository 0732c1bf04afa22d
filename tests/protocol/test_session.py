import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import errors
from protocol.codec import Unreadable
from protocol.errors import BadField, LocalProtocolError, RemoteProtocolError
from protocol.frames import FrameReader, encode_frame, frame
from protocol.messages.control import ErrorResponse, ErrorType, OKResponse
from protocol.messages.outcomes import SucceedTask
from protocol.messages.shape import Message
from protocol.messages.triggers import StartTriggerer, TriggerStateChanges, TriggerStateSync
from protocol.messages.variables import GetConnection, GetVariable, MaskSecret, PutVariable, VariableResult
from protocol.session import (
    Answered,
    Asked,
    Broken,
    Ended,
    Failed,
    Greeted,
    Heard,
    RunnerSession,
    SupervisorSession,
    Told,
    refusal,
)
from protocol.states import Talk
from protocol.versions import OLDEST, VERSIONS
from protocol.vocabulary import TRIGGERER
from tests.fuzzing import fuzz
from tests.protocol.samples import GREETING, IDENTITY, MOMENT

NOT_FOUND = ErrorResponse(ErrorType.VARIABLE_NOT_FOUND)
OUTAGE = ErrorResponse(ErrorType.API_SERVER_ERROR, {"message": "away"})


def pair(**options: Any) -> tuple[SupervisorSession, RunnerSession]:
    """Two ends, greeted."""
    supervisor, runner = SupervisorSession(**options), RunnerSession(**options)
    assert runner.receive(supervisor.greet(GREETING)) == [Greeted(GREETING)]
    return supervisor, runner


def raw(*elements: object) -> bytes:
    return encode_frame(elements)


def slots(data: bytes) -> list[Any]:
    (payload,) = FrameReader().feed(data)
    elements: list[Any] = msgspec.msgpack.decode(payload)
    return elements


def test_a_question_and_its_answer() -> None:
    supervisor, runner = pair()
    number, sent = runner.ask(GetVariable("k"), {"traceparent": "00-1"})
    assert slots(sent)[2] == {"traceparent": "00-1"}
    assert supervisor.receive(sent) == [Asked(number, GetVariable("k"), {"traceparent": "00-1"})]
    assert runner.receive(supervisor.answer(number, VariableResult("k", "v"))) == [
        Answered(number, VariableResult("k", "v"))
    ]
    assert (supervisor.open, runner.open, runner.late) == ({}, {}, 0)


def test_questions_are_answered_in_any_order() -> None:
    supervisor, runner = pair()
    asked = [runner.ask(GetVariable(str(index))) for index in range(5)]
    heard = supervisor.receive(b"".join(sent for _, sent in asked))
    assert [event.id for event in heard if isinstance(event, Asked)] == [number for number, _ in asked]
    answers = b"".join(supervisor.answer(number, VariableResult(str(number), None)) for number, _ in reversed(asked))
    assert runner.receive(answers) == [
        Answered(number, VariableResult(str(number), None)) for number, _ in reversed(asked)
    ]


def test_an_acknowledgement_is_an_empty_frame() -> None:
    supervisor, runner = pair()
    number, sent = runner.ask(SucceedTask(MOMENT))
    supervisor.receive(sent)
    answer = supervisor.answer(number, None)
    assert answer.hex() == "0000000493" + f"{number:02x}" + "c0c0"
    assert runner.receive(answer) == [Answered(number, None)]


def test_an_error_that_counts_as_an_answer_is_returned_and_any_other_is_raised() -> None:
    supervisor, runner = pair()
    (first, one), (second, two) = runner.ask(GetVariable("k")), runner.ask(GetVariable("k"))
    supervisor.receive(one + two)
    returned, raised = supervisor.answer(first, NOT_FOUND), supervisor.answer(second, OUTAGE)
    assert slots(returned)[2] is None
    assert slots(raised)[1] is None
    assert runner.receive(returned + raised) == [Answered(first, NOT_FOUND), Failed(second, OUTAGE)]


def test_a_question_is_answered_exactly_once() -> None:
    supervisor, runner = pair()
    number, sent = runner.ask(GetVariable("k"))
    supervisor.receive(sent)
    supervisor.answer(number, NOT_FOUND)
    with pytest.raises(LocalProtocolError, match="not open"):
        supervisor.answer(number, NOT_FOUND)
    with pytest.raises(LocalProtocolError, match="not open"):
        supervisor.answer(99, NOT_FOUND)


@pytest.mark.parametrize(
    ("question", "reply"),
    [(GetVariable("k"), OKResponse(ok=True)), (GetVariable("k"), None), (MaskSecret("s"), OKResponse(ok=True))],
)
def test_a_reply_that_does_not_answer_is_our_own_fault_and_the_question_stays_open(
    question: Message, reply: Message | None
) -> None:
    supervisor, runner = pair()
    number, sent = runner.ask(question)
    supervisor.receive(sent)
    with pytest.raises(LocalProtocolError, match="does not answer"):
        supervisor.answer(number, reply)
    assert number in supervisor.open


def test_a_reply_that_cannot_be_encoded_leaves_the_question_open_for_an_error() -> None:
    supervisor, runner = pair()
    number, sent = runner.ask(GetVariable("k"))
    supervisor.receive(sent)
    with pytest.raises(LocalProtocolError, match="cannot encode"):
        supervisor.answer(number, ErrorResponse(detail={"bad": object()}))
    assert runner.receive(supervisor.answer(number, OUTAGE)) == [Failed(number, OUTAGE)]


def test_what_cannot_be_read_is_answered_with_what_was_wrong() -> None:
    supervisor, runner = pair()
    number, _ = runner.ask(GetVariable("k"))
    (event,) = supervisor.receive(raw(number, {"type": "GetVariable", "key": 5}))
    assert isinstance(event, Unreadable)
    with pytest.raises(LocalProtocolError, match="a question that could not be read"):
        supervisor.answer(number, None)
    (told,) = runner.receive(supervisor.answer(number, refusal(event.fault)))
    assert isinstance(told, Failed)
    assert told.error.detail is not None
    assert told.error.detail["status_code"] == 400
    assert told.error.detail["message"].startswith("BadField: expected a message whose fields fit its type")


def test_a_second_question_under_an_open_id_breaks_the_conversation() -> None:
    supervisor, _ = pair()
    question = raw(4, {"type": "GetVariable", "key": "k"}, None)
    heard = supervisor.receive(question + question + question)
    assert [type(event) for event in heard] == [Asked, Broken]
    assert isinstance(heard[1], Broken)
    assert isinstance(heard[1].fault, errors.DuplicateId)
    assert supervisor.talk is Talk.BROKEN


def test_an_id_may_come_again_once_its_question_was_answered() -> None:
    supervisor = SupervisorSession()
    supervisor.resume()  # greeted by another end
    question = raw(0, {"type": "GetVariable", "key": "k"}, None)
    for _ in range(3):
        assert [type(event) for event in supervisor.receive(question)] == [Asked]
        supervisor.answer(0, NOT_FOUND)
        assert supervisor.resting


def test_a_question_with_the_greetings_id_is_a_question() -> None:
    """Airflow's runners begin to count at the id the greeting has."""
    runner = RunnerSession()
    runner.receive(SupervisorSession().greet(GREETING))
    runner.open[0] = MaskSecret
    assert runner.receive(raw(0, None, None)) == [Answered(0, None)]


def test_an_abandoned_answer_is_dropped_and_counted_and_never_taken_for_anothers() -> None:
    supervisor, runner = pair()
    (first, one), (second, two) = runner.ask(GetVariable("a")), runner.ask(GetVariable("b"))
    supervisor.receive(one + two)
    runner.abandon(first)
    late = supervisor.answer(first, VariableResult("a", "secret"))
    right = supervisor.answer(second, VariableResult("b", "right"))
    assert runner.receive(late + right + right) == [Answered(second, VariableResult("b", "right"))]
    assert runner.late == 2


def test_an_answer_that_cannot_be_read_is_its_askers() -> None:
    _, runner = pair()
    number, _ = runner.ask(GetVariable("k"))
    (told,) = runner.receive(raw(number, {"type": "Surprise"}, None))
    assert isinstance(told, Unreadable)
    assert told.id == number
    assert runner.open == {}


def test_nobody_asks_before_the_greeting() -> None:
    supervisor, runner = SupervisorSession(), RunnerSession()
    with pytest.raises(LocalProtocolError, match="ungreeted"):
        runner.ask(GetVariable("k"))
    assert runner.open == {}
    (event,) = supervisor.receive(raw(1, {"type": "GetVariable", "key": "k"}, None))
    assert isinstance(event, Broken)
    assert isinstance(event.fault, errors.OutOfTurn)


def test_nobody_is_greeted_twice() -> None:
    supervisor, runner = pair()
    with pytest.raises(LocalProtocolError, match="no greeting"):
        supervisor.greet(GREETING)
    (event,) = runner.receive(SupervisorSession().greet(GREETING))
    assert isinstance(event, Broken)
    assert isinstance(event.fault, errors.OutOfTurn)
    assert runner.receive(SupervisorSession().greet(GREETING)) == []


def test_an_answer_before_the_greeting_breaks_the_conversation() -> None:
    (event,) = RunnerSession().receive(raw(1, None, None))
    assert isinstance(event, Broken)


def test_a_conversation_begins_with_its_own_greeting() -> None:
    with pytest.raises(LocalProtocolError, match="begins with StartupDetails, not with StartTriggerer"):
        SupervisorSession().greet(StartTriggerer())


def test_only_questions_are_asked() -> None:
    _, runner = pair()
    with pytest.raises(LocalProtocolError, match="OKResponse is not a question"):
        runner.ask(OKResponse(ok=True))


def test_a_question_that_cannot_be_encoded_is_not_asked() -> None:
    _, runner = pair()
    with pytest.raises(LocalProtocolError, match="cannot encode"):
        runner.ask(MaskSecret(object()))
    assert runner.open == {}


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\0\0\0\0", errors.ZeroLengthFrame),
        (b"\xff\xff\xff\xff", errors.FrameTooLong),
        (frame(b"\xc1"), errors.NotMsgpack),
        (raw(1), errors.ShortFrame),
        (frame(msgspec.msgpack.encode({"id": 1})), errors.NotAnArray),
        (raw("1", None), errors.BadId),
    ],
)
def test_a_fault_is_told_once_after_what_came_before_it(data: bytes, fault: type[RemoteProtocolError]) -> None:
    supervisor, runner = pair()
    number, sent = runner.ask(GetVariable("k"))
    heard = supervisor.receive(sent + data + sent)
    assert heard[0] == Asked(number, GetVariable("k"))
    assert [type(event.fault) for event in heard[1:] if isinstance(event, Broken)] == [fault]
    assert (supervisor.receive(sent), supervisor.receive_end(), supervisor.talk) == ([], [], Talk.BROKEN)
    assert supervisor.answer(number, NOT_FOUND) == b"", "nobody is there to get it"
    with pytest.raises(LocalProtocolError, match="broken"):
        supervisor.greet(GREETING)


def test_the_runner_is_told_of_a_fault_too() -> None:
    _, runner = pair()
    assert [type(event) for event in runner.receive(b"\0\0\0\0")] == [Broken]
    assert runner.talk is Talk.BROKEN
    with pytest.raises(LocalProtocolError, match="broken"):
        runner.ask(GetVariable("k"))


def test_an_end_between_frames_is_an_end() -> None:
    supervisor, runner = pair()
    assert (supervisor.receive_end(), supervisor.receive_end()) == ([Ended()], [])
    assert (runner.receive_end(), runner.receive_end()) == ([Ended()], [])
    assert (supervisor.talk, runner.talk) == (Talk.CLOSED, Talk.CLOSED)
    assert supervisor.receive(raw(1, None)) == []
    assert runner.receive(raw(1, None)) == []


def test_an_end_inside_a_frame_is_a_fault() -> None:
    supervisor, _ = pair()
    supervisor.receive(b"\0\0")
    (event,) = supervisor.receive_end()
    assert isinstance(event, Broken)
    assert isinstance(event.fault, errors.TruncatedFrame)


def test_the_cap_is_the_sessions_in_both_directions() -> None:
    supervisor, runner = pair(cap=2000)
    (event,) = supervisor.receive(raw(1, {"type": "GetVariable", "key": "k" * 2000}))
    assert isinstance(event, Broken)
    assert isinstance(event.fault, errors.FrameTooLong)
    with pytest.raises(LocalProtocolError, match="longer than the 2000 that can be sent"):
        runner.ask(GetVariable("k" * 2000))
    assert runner.open == {}


def test_a_reply_above_the_cap_leaves_the_question_open_for_an_error() -> None:
    supervisor, runner = pair(cap=2000)
    number, sent = runner.ask(GetVariable("k"))
    supervisor.receive(sent)
    with pytest.raises(LocalProtocolError, match="longer than the 2000"):
        supervisor.answer(number, VariableResult("k", "v" * 2000))
    assert runner.receive(supervisor.answer(number, OUTAGE)) == [Failed(number, OUTAGE)]


def test_a_reply_to_another_question_is_not_taken_for_an_answer() -> None:
    _, runner = pair()
    number, _ = runner.ask(GetConnection("db"))
    (told,) = runner.receive(raw(number, {"type": "VariableResult", "key": "k", "value": "secret"}, None))
    assert isinstance(told, Unreadable)
    assert str(told.fault) == "expected ConnectionResult to GetConnection, came VariableResult"


def test_a_greeting_that_cannot_be_read_says_what_is_wrong_with_it() -> None:
    (event,) = RunnerSession().receive(raw(0, {"type": "StartupDetails", "ti": {}}, None))
    assert isinstance(event, Broken)
    assert isinstance(event.fault, BadField)
    assert "missing required field" in str(event.fault)


def test_what_comes_after_the_end_is_not_even_kept() -> None:
    supervisor, _ = pair()
    supervisor.receive(raw(4, {"type": "GetVariable", "key": "k"}) * 2)
    assert supervisor.talk is Talk.BROKEN
    tracemalloc.start()
    supervisor.receive((40_000_000).to_bytes(4, "big"))
    for _ in range(20):
        supervisor.receive(bytes(1_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000


@pytest.mark.parametrize("version", VERSIONS)
def test_what_cannot_be_said_is_our_own_fault_at_every_version(version: str) -> None:
    _, runner = pair(version=version)
    cycle: list[object] = []
    cycle.append(cycle)
    for value in (object(), cycle, 2**64):
        with pytest.raises(LocalProtocolError, match="cannot encode"):
            runner.ask(MaskSecret(value))


def test_what_a_runtime_may_not_send_is_refused() -> None:
    supervisor = SupervisorSession(allowed=frozenset({GetVariable}))
    supervisor.greet(GREETING)
    (event,) = supervisor.receive(raw(1, {"type": "PutVariable", "key": "k", "value": "v", "description": None}))
    assert isinstance(event, Unreadable)
    assert isinstance(event.fault, errors.NotAllowed)


def test_two_ends_of_an_older_version() -> None:
    supervisor, runner = pair(version=OLDEST)
    number, sent = runner.ask(SucceedTask(MOMENT))
    assert "loop_decision" not in slots(sent)[1]
    assert supervisor.receive(sent) == [Asked(number, SucceedTask(MOMENT))]


def test_the_triggerers_conversation() -> None:
    supervisor, runner = SupervisorSession(TRIGGERER), RunnerSession(TRIGGERER)
    assert runner.receive(supervisor.greet(StartTriggerer())) == [Greeted(StartTriggerer())]
    number, sent = runner.ask(TriggerStateChanges(finished=[3]), ti_id=IDENTITY)
    assert supervisor.receive(sent) == [Asked(number, TriggerStateChanges(finished=[3]), None, IDENTITY)]
    sync = TriggerStateSync(to_create=[], to_cancel={3})
    assert runner.receive(supervisor.answer(number, sync)) == [Answered(number, sync)]


MESSAGES = st.sampled_from(
    [GetVariable("k"), PutVariable("k", "v" * 500, None), MaskSecret({"deep": [1, None]}), SucceedTask(MOMENT)]
)


def deliver(end: SupervisorSession | RunnerSession, stream: bytes, sizes: list[int]) -> list[Heard | Told]:
    events: list[Heard | Told] = []
    for size in sizes:
        events += end.receive(stream[:size])
        stream = stream[size:]
    return [*events, *end.receive(stream), *end.receive_end()]


@fuzz
@given(messages=st.lists(MESSAGES, max_size=6), tail=st.binary(max_size=12), sizes=st.lists(st.integers(0, 300)))
def test_any_chunking_of_any_conversation_gives_the_same_events(
    messages: list[Message], tail: bytes, sizes: list[int]
) -> None:
    (whole, runner), (pieces, _) = pair(), pair()
    stream = b"".join(runner.ask(message)[1] for message in messages) + tail
    first, second = deliver(whole, stream, []), deliver(pieces, stream, sizes)
    assert repr(first) == repr(second)
    asked = [event.message for event in first if isinstance(event, Asked)]
    assert asked[: len(messages)] == messages


@fuzz
@given(stream=st.binary(max_size=400), sizes=st.lists(st.integers(0, 50)))
def test_random_bytes_break_a_conversation_and_nothing_else(stream: bytes, sizes: list[int]) -> None:
    for end in pair():
        events = deliver(end, stream, sizes)
        assert sum(isinstance(event, Broken | Ended) for event in events) == 1
        assert isinstance(events[-1], Broken | Ended)
