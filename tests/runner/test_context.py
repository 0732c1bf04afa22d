"""What a task may ask through `ctx`: each call is one question, and each answer means one thing."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from protocol.messages.checkpoints import (
    BlobReference,
    CheckpointRecord,
    CheckpointResult,
    CheckpointSaved,
    GetCheckpoint,
    SaveCheckpoint,
)
from protocol.messages.control import ErrorResponse, ErrorType, OKResponse, ReportProgress
from protocol.messages.shape import Message
from protocol.messages.stores import (
    ClearTaskStateStore,
    DeleteTaskStateStore,
    GetTaskStateStore,
    SetTaskStateStore,
    TaskStateStoreResult,
)
from protocol.messages.variables import (
    ConnectionResult,
    DeleteVariable,
    GetConnection,
    GetVariable,
    GetVariableKeys,
    MaskSecret,
    PutVariable,
    VariableKeysResult,
    VariableResult,
)
from protocol.messages.xcoms import (
    DeleteXCom,
    GetXCom,
    GetXComSequenceItem,
    GetXComSequenceSlice,
    SetXCom,
    XComResult,
    XComSequenceIndexResult,
    XComSequenceSliceResult,
)
from runner.access import expect
from runner.client import Client
from runner.context import Context, current, make_current
from runner.faults import AnswerLost, NotFound, Refused
from runner.interrupts import Interrupts
from runner.logs import Channel, Log
from runner.outcomes import Checkpointed
from tests.runner.peers import Peer
from tests.runner.samples import NOW, TI, greeting

Made = tuple[Context, Peer, Interrupts]
With = Callable[..., Made]


@pytest.fixture
def answered(tmp_path: Path) -> Iterator[With]:
    """Make a context whose questions are answered by these, one after the other."""
    made: list[tuple[Peer, int]] = []

    def make(*replies: Message | None, blobs: bool = True) -> Made:
        rest = iter(replies)
        other = Peer(lambda _: next(rest)).start()
        client = Client(other.childs.detach())
        other.greet(greeting())
        client.greeted()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        made.append((other, nowhere))
        log = Log(Channel(nowhere))
        interrupts = Interrupts(client.ask, log)
        return Context(greeting(), client, interrupts, log, tmp_path / "blobs" if blobs else None), other, interrupts

    yield make
    for other, nowhere in made:
        other.close()
        os.close(nowhere)


NOT_FOUND = ErrorResponse(ErrorType.VARIABLE_NOT_FOUND, {"message": "no such variable"})
REFUSED = ErrorResponse(ErrorType.PERMISSION_DENIED, {"message": "not yours"})
CONNECTION = ConnectionResult("db", "postgres", "host", "schema", "me", "secret", 5432, None)
OK = OKResponse(ok=True)


@pytest.mark.parametrize(
    ("use", "reply", "question", "value"),
    [
        (
            lambda ctx: ctx.xcom.get("up"),
            XComResult("return_value", 3),
            GetXCom("return_value", "flow", "run", "up"),
            3,
        ),
        (lambda ctx: ctx.xcom.get("up", "k", map_index=2), XComResult("k", 3), GetXCom("k", "flow", "run", "up", 2), 3),
        (
            lambda ctx: ctx.xcom.item("up", -1, "k"),
            XComSequenceIndexResult(3),
            GetXComSequenceItem("k", "flow", "run", "up", -1),
            3,
        ),
        (
            lambda ctx: ctx.xcom.all("up"),
            XComSequenceSliceResult([1, 2]),
            GetXComSequenceSlice("return_value", "flow", "run", "up", None, None, None),
            [1, 2],
        ),
        (lambda ctx: ctx.xcom.set("k", {"a": 1}), None, SetXCom("k", {"a": 1}, "flow", "run", "task", -1), None),
        (lambda ctx: ctx.xcom.delete("k"), None, DeleteXCom("k", "flow", "run", "task", -1), None),
        (lambda ctx: ctx.variables.get("k"), VariableResult("k", "v"), GetVariable("k"), "v"),
        (lambda ctx: ctx.variables.get("k", "d"), VariableResult("k", "v"), GetVariable("k"), "v"),
        (lambda ctx: ctx.variables.get("k", None), NOT_FOUND, GetVariable("k"), None),
        (lambda ctx: ctx.variables.set("k", "v", "what it is"), None, PutVariable("k", "v", "what it is"), None),
        (lambda ctx: ctx.variables.delete("k"), OK, DeleteVariable("k"), None),
        (lambda ctx: ctx.variables.keys("a"), VariableKeysResult([], 0), GetVariableKeys("a"), []),
        (lambda ctx: ctx.connections.get("db"), CONNECTION, GetConnection("db"), CONNECTION),
        (lambda ctx: ctx.state.get("k"), TaskStateStoreResult(3), GetTaskStateStore(TI, "k"), 3),
        (
            lambda ctx: ctx.state.get("k", 7),
            ErrorResponse(ErrorType.TASK_STORE_NOT_FOUND),
            GetTaskStateStore(TI, "k"),
            7,
        ),
        (lambda ctx: ctx.state.set("k", 3), OK, SetTaskStateStore(TI, "k", 3, None), None),
        (lambda ctx: ctx.state.set("k", 3, expires=NOW), OK, SetTaskStateStore(TI, "k", 3, NOW), None),
        (lambda ctx: ctx.state.delete("k"), OK, DeleteTaskStateStore(TI, "k"), None),
        (lambda ctx: ctx.state.clear(), OK, ClearTaskStateStore(TI), None),
        (lambda ctx: ctx.beat(0.5), None, ReportProgress(0.5), None),
        (lambda ctx: ctx.mask("s3cret", "key"), None, MaskSecret("s3cret", "key"), None),
        (lambda ctx: ctx.ask(GetVariable("k")), NOT_FOUND, GetVariable("k"), NOT_FOUND),
    ],
)
def test_each_call_is_one_question_and_means_its_answer(
    answered: With, use: Callable[[Context], object], reply: Message | None, question: Message, value: object
) -> None:
    context, other, _ = answered(reply)
    assert use(context) == value
    assert other.asked == [question]


def test_what_is_absent_raises_unless_there_is_a_default(answered: With) -> None:
    context, _, _ = answered(NOT_FOUND)
    with pytest.raises(NotFound, match="no such variable"):
        context.variables.get("k")


def test_what_is_refused_raises_even_with_a_default(answered: With) -> None:
    context, _, _ = answered(REFUSED, REFUSED)
    with pytest.raises(Refused):
        context.variables.get("k", "default")
    with pytest.raises(Refused):
        context.connections.get("db")


def test_an_answer_to_something_else_is_no_answer() -> None:
    with pytest.raises(AnswerLost, match="expected VariableResult, came XComResult"):
        expect(XComResult("k", 1), VariableResult)
    with pytest.raises(AnswerLost, match="expected VariableResult, came nothing"):
        expect(None, VariableResult)


def test_keys_are_read_page_by_page(answered: With) -> None:
    context, other, _ = answered(VariableKeysResult(["a", "b"], 3), VariableKeysResult(["c"], 3))
    assert context.variables.keys() == ["a", "b", "c"]
    assert other.asked == [GetVariableKeys(), GetVariableKeys(offset=2)]


def test_a_value_may_expire_after_a_time(answered: With) -> None:
    context, other, _ = answered(OK)
    before = datetime.now(UTC)
    context.state.set("k", 3, expires=timedelta(hours=1))
    [asked] = other.asked
    assert isinstance(asked, SetTaskStateStore)
    assert asked.expires_at is not None
    assert before <= asked.expires_at - timedelta(hours=1) <= datetime.now(UTC)


def test_an_attempt_knows_which_it_is(answered: With) -> None:
    context, _, _ = answered()
    assert (context.flow, context.run_id, context.task_id, context.ti_id) == ("flow", "run", "task", TI)
    assert (context.map_index, context.try_number, context.params) == (-1, 1, {})
    assert (context.stopping, context.deadline, context.stop_reason) == (False, None, None)


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_the_checkpoint_is_asked_for_once_and_makes_the_task_a_patient_one(answered: With) -> None:
    context, other, interrupts = answered(CheckpointResult(CheckpointRecord(1, 1, NOW, data={"step": 3})))
    assert context.checkpoint["step"] == context.checkpoint.get("step") == 3
    assert other.asked == [GetCheckpoint()]
    assert (interrupts.patient, interrupts.on_record) == (True, True)


def test_no_checkpoint_is_none_on_record(answered: With) -> None:
    context, _, interrupts = answered(CheckpointResult(None, "a user cleared it"))
    assert not context.checkpoint
    assert context.checkpoint.note == "a user cleared it"
    assert (interrupts.patient, interrupts.on_record) == (True, False)


def test_a_save_returns_when_it_is_safe(answered: With) -> None:
    context, other, interrupts = answered(CheckpointSaved(4))
    assert context.save({"step": 3}, progress=0.3) == 4
    assert other.asked == [SaveCheckpoint({"step": 3}, None, 0.3)]
    assert interrupts.on_record


def test_a_save_that_failed_is_not_on_record(answered: With) -> None:
    context, _, interrupts = answered(ErrorResponse(ErrorType.API_SERVER_ERROR))
    with pytest.raises(Exception, match="API_SERVER_ERROR"):
        context.save({"step": 3})
    assert not interrupts.on_record


def test_a_save_stops_a_task_that_is_to_stop_once_it_is_safe(answered: With) -> None:
    context, _, interrupts = answered(CheckpointSaved(4))
    interrupts.stopping = True
    with pytest.raises(Checkpointed, match="checkpoint 4"):
        context.save({"step": 3})
    assert interrupts.on_record


def test_a_file_is_kept_first_and_referenced_second(answered: With, tmp_path: Path) -> None:
    context, other, _ = answered(CheckpointSaved(4))
    source = tmp_path / "weights"
    source.write_bytes(b"data")
    context.save(blob=source)
    [asked] = other.asked
    assert isinstance(asked, SaveCheckpoint)
    assert isinstance(asked.blob, BlobReference)
    assert (tmp_path / "blobs" / "flow" / "run" / "task" / "-1" / asked.blob.sha256).read_bytes() == b"data"


def test_a_file_without_a_place_is_refused(answered: With, tmp_path: Path) -> None:
    context, other, _ = answered(blobs=False)
    with pytest.raises(ValueError, match="blob directory"):
        context.save(blob=tmp_path)
    assert other.asked == []


def test_code_that_no_task_calls_has_no_context(answered: With) -> None:
    with pytest.raises(LookupError, match="no task runs here"):
        current()
    context, _, _ = answered()
    make_current(context)
    try:
        assert current() is context
    finally:
        make_current(None)
