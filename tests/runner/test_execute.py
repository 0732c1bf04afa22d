"""Each step of a run alone, with a real client and a real session at the other end of a real socket pair."""

import functools
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from protocol.messages.checkpoints import StopReason
from protocol.messages.control import ErrorResponse, ErrorType, GiveReason
from protocol.messages.outcomes import RescheduleTask, SucceedTask
from protocol.messages.shape import Message
from protocol.messages.startup import (
    LiteralArgBinding,
    MappedArgBinding,
    StartupDetails,
    TaskArgBinding,
    XComArgBinding,
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
from runner.client import Client
from runner.context import Context
from runner.execute import Run, bind, call, clear, load, push, tell, wants_context
from runner.faults import QuestionFailed
from runner.interrupts import Interrupts
from runner.logs import Channel, Log
from runner.outcomes import Exit, Interrupted, Rescheduled, Returned, Stop
from tests.runner.children import acknowledge
from tests.runner.peers import Handler, Peer
from tests.runner.samples import greeting

SOON = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = {"rows": [10, 20, 30], "one": 1}


def answer(message: Message) -> Message | None:
    if isinstance(message, GetXCom):
        return XComResult(message.key, VALUES.get(message.task_id))
    if isinstance(message, GetXComSequenceItem):
        return XComSequenceIndexResult(f"item {message.offset}")
    if isinstance(message, GetXComSequenceSlice):
        return XComSequenceSliceResult([7, 8])
    return acknowledge(message)


class Bench:
    """A record to try steps on."""

    def __init__(self, other: Peer, message: StartupDetails) -> None:
        self.other = other
        client = Client(other.childs.detach())
        other.greet(message)
        client.greeted()
        self._log = os.open(os.devnull, os.O_WRONLY)
        log = Log(Channel(self._log))
        interrupts = Interrupts(client.ask, log)
        context = Context(message, client, interrupts, log)
        self.found: list[tuple[str, str, str]] = []
        self.run = Run(message, client, interrupts, context, log, self.find, {"local": "/", "mine": "/srv/flows/"})

    def find(self, path: str, flow: str, task_id: str) -> Callable[..., Any]:
        self.found.append((path, flow, task_id))
        return len

    @property
    def asked(self) -> list[Message]:
        return self.other.asked

    def close(self) -> None:
        os.close(self._log)


@pytest.fixture
def on() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(map_index: int = -1, bundle: str = "local", **context: Any) -> Bench:
        message = greeting("folder/flow.py", **context)
        message = replace(message, bundle_info=replace(message.bundle_info, name=bundle))
        made.append(Bench(Peer(answer).start(), replace(message, ti=replace(message.ti, map_index=map_index))))
        return made[-1]

    yield make
    for bench in made:
        bench.close()
        bench.other.close()


def test_clear_removes_what_the_server_names(on: Callable[..., Bench]) -> None:
    bench = on(xcom_keys_to_clear=["a", "b"], map_index=2)
    clear(bench.run)
    assert bench.asked == [DeleteXCom(key, "flow", "run", "task", 2) for key in "ab"]


def test_clear_passes_on_what_it_has_nothing_to_do_with(on: Callable[..., Bench]) -> None:
    bench = on()
    clear(bench.run)
    assert bench.asked == []


@pytest.mark.parametrize(("bundle", "path"), [("local", "/folder/flow.py"), ("mine", "/srv/flows/folder/flow.py")])
def test_load_finds_the_function_in_its_bundle(on: Callable[..., Bench], bundle: str, path: str) -> None:
    bench = on(bundle=bundle)
    load(bench.run)
    assert bench.run.function is len
    assert bench.found == [(path, "flow", "task")]


def test_load_says_which_bundles_there_are(on: Callable[..., Bench]) -> None:
    with pytest.raises(LookupError, match="no bundle 'other' here; there are local, mine"):
        load(on(bundle="other").run)


@pytest.mark.parametrize(
    ("binding", "value"),
    [
        (LiteralArgBinding("a", value=[1]), [1]),
        (XComArgBinding("a", "one"), 1),
        (XComArgBinding("a", "absent"), None),
        (XComArgBinding("a", "mapped", {"type": "array", "x-mapped": True}), [7, 8]),
        (MappedArgBinding("a", "rows"), 20),
        (MappedArgBinding("a", "mapped"), "item 1"),
    ],
)
def test_bind_gets_each_kind_of_argument(on: Callable[..., Bench], binding: TaskArgBinding, value: object) -> None:
    bench = on(map_index=1, arg_bindings=[binding])
    bind(bench.run)
    assert bench.run.arguments == {"a": value}


def test_bind_adds_the_context_when_it_is_wanted(on: Callable[..., Bench]) -> None:
    bench = on()
    bench.run.function = lambda ctx: ctx
    bind(bench.run)
    assert bench.run.arguments == {"ctx": bench.run.context}


class Object:
    def __call__(self, ctx: object) -> object:
        return ctx


def wrapped() -> Callable[..., Any]:
    def inner(ctx: object) -> object:
        return ctx

    @functools.wraps(inner)
    def outer(*args: Any, **kwargs: Any) -> object:
        return inner(*args, **kwargs)

    return outer


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda ctx: ctx, True),
        (lambda *, ctx=None: ctx, True),
        (wrapped(), True),
        (Object(), True),
        (functools.partial(lambda ctx, a: (ctx, a), a=1), True),
        (lambda context: context, False),
        (len, False),
    ],
)
def test_a_context_is_wanted_by_whoever_has_the_parameter(function: Callable[..., Any], *, wanted: bool) -> None:
    assert wants_context(function) is wanted


def test_call_calls_with_the_arguments(on: Callable[..., Bench]) -> None:
    bench = on()
    bench.run.function, bench.run.arguments = dict, {"a": 1}
    call(bench.run)
    assert bench.run.value == {"a": 1}


def test_call_passes_on_a_run_without_a_function(on: Callable[..., Bench]) -> None:
    bench = on()
    call(bench.run)
    assert bench.run.value is None


@pytest.mark.parametrize(("value", "length"), [([1, 2], 2), ((1, 2), 2), ({"a": 1}, None), ("text", None), (0, None)])
def test_push_hands_on_what_was_returned(on: Callable[..., Bench], value: object, length: int | None) -> None:
    bench = on()
    bench.run.value = value
    push(bench.run)
    [handed] = bench.asked
    assert isinstance(handed, SetXCom)
    assert handed.mapped_length == length


def test_push_hands_none_on_only_among_the_values_of_a_mapped_task(on: Callable[..., Bench]) -> None:
    bench, mapped = on(), on(map_index=0)
    push(bench.run)
    push(mapped.run)
    assert bench.asked == []
    assert [type(message) for message in mapped.asked] == [SetXCom]


def test_push_says_that_it_is_the_value_which_cannot_be_handed_on(on: Callable[..., Bench]) -> None:
    bench = on()
    bench.run.value = object()
    with pytest.raises(TypeError, match="what the task returned cannot be handed on"):
        push(bench.run)


def test_push_says_so_too_when_it_is_the_server_that_does_not_take_it() -> None:
    detail = {"status_code": 413, "message": "Request Entity Too Large"}
    other = Peer(lambda _: ErrorResponse(ErrorType.API_SERVER_ERROR, detail)).start()
    bench = Bench(other, greeting())
    bench.run.value = "long"
    with pytest.raises(QuestionFailed, match=r"what the task returned could not be handed on: .* \(status 413\)"):
        push(bench.run)
    bench.close()
    other.close()


def test_tell_tells_once(on: Callable[..., Bench]) -> None:
    bench = on()
    assert tell(bench.run, Returned()) == Exit.TOLD
    assert [type(message) for message in bench.asked] == [SucceedTask]


def test_tell_leaves_what_is_the_supervisors_to_judge(on: Callable[..., Bench]) -> None:
    bench = on()
    assert tell(bench.run, Interrupted(Stop(StopReason.EVICT))) == Exit.INTERRUPTED
    assert bench.asked == []


def test_tell_says_when_nobody_hears(on: Callable[..., Bench]) -> None:
    bench = on()
    bench.other.close()
    assert tell(bench.run, Returned()) == Exit.CHANNEL_LOST


def knows_no_reasons(message: Message) -> Message | None:
    return ErrorResponse(ErrorType.GENERIC_ERROR, {}) if isinstance(message, GiveReason) else None


@pytest.mark.parametrize("answer", [lambda _: None, knows_no_reasons])
def test_tell_says_why_before_a_word_that_has_no_room_for_it(answer: Handler) -> None:
    other = Peer(answer).start()
    bench = Bench(other, greeting())
    assert tell(bench.run, Rescheduled(SOON, "no file")) == Exit.TOLD
    assert bench.asked[0] == GiveReason("no file")
    assert [type(message) for message in bench.asked] == [GiveReason, RescheduleTask]
    assert tell(bench.run, Rescheduled(SOON)) == Exit.TOLD
    assert [type(message) for message in bench.asked[2:]] == [RescheduleTask]
    bench.close()
    other.close()


@pytest.fixture
def refusing() -> Iterator[Bench]:
    other = Peer(lambda _: ErrorResponse(ErrorType.API_SERVER_ERROR, {"status_code": 409})).start()
    bench = Bench(other, greeting())
    yield bench
    bench.close()
    other.close()


def test_tell_says_when_it_is_refused(refusing: Bench) -> None:
    assert tell(refusing.run, Returned()) == Exit.UNTOLD
