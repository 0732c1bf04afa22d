"""Our runner in a process of its own: every way to end, and every way in which the supervisor may behave."""

import signal
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from protocol.messages.control import ErrorResponse, ErrorType
from protocol.messages.outcomes import RescheduleTask, RetryTask, SucceedTask, TaskState
from protocol.messages.shape import Message
from protocol.messages.startup import LiteralArgBinding, MappedArgBinding, XComArgBinding
from protocol.messages.variables import GetVariable, VariableResult
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
from runner.outcomes import Exit
from tests.runner.children import Child, Flows, acknowledge, child
from tests.runner.samples import greeting

pytestmark = pytest.mark.slow

HEAD = "import asyncio, os, sys, threading\nfrom runner import *\n\n"


@pytest.fixture
def flows(tmp_path: Path) -> Flows:
    return Flows(tmp_path)


def task(body: str, parameters: str = "ctx", decorator: str = "@task", kind: str = "def") -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"{HEAD}{decorator}\n{kind} task({parameters}):\n{lines}\n"


def is_success(message: Message) -> bool:
    return isinstance(message, SucceedTask)


def is_failed(message: Message) -> bool:
    return isinstance(message, TaskState) and message.state == "failed"


def is_skipped(message: Message) -> bool:
    return isinstance(message, TaskState) and message.state == "skipped"


def is_reschedule(message: Message) -> bool:
    return isinstance(message, RescheduleTask)


def is_retry(message: Message) -> bool:
    return isinstance(message, RetryTask)


WAYS_TO_END: list[tuple[str, Callable[[Message], bool], Callable[[Message], bool]]] = [
    ("return", is_success, is_success),
    ("return {'rows': [1, 2]}", is_success, is_success),
    ("raise Skip('not today')", is_skipped, is_skipped),
    ("raise Fail('wrong data')", is_failed, is_failed),
    ("raise Retry('busy', after=30)", is_retry, is_failed),
    ("raise Reschedule(after=30)", is_reschedule, is_reschedule),
    ("raise ValueError('bad')", is_retry, is_failed),
    ("raise KeyboardInterrupt", is_retry, is_failed),
    ("raise GeneratorExit", is_retry, is_failed),
    ("raise StopIteration", is_retry, is_failed),
    ("sys.exit(0)", is_retry, is_failed),
    ("sys.exit(3)", is_retry, is_failed),
    ("raise BaseExceptionGroup('two', [ValueError('a'), SystemExit(1)])", is_retry, is_failed),
    ("return object()", is_retry, is_failed),
    ("return 'x' * 70_000_000", is_retry, is_failed),
    ("return 2 ** 70", is_retry, is_failed),
    ("def f(): return f()\nf()", is_retry, is_failed),
    ("raise TaskInterrupted", is_retry, is_failed),
]


@pytest.mark.parametrize("should_retry", [True, False])
@pytest.mark.parametrize(("body", "when_retried", "when_not"), WAYS_TO_END, ids=[body for body, _, _ in WAYS_TO_END])
def test_each_way_to_end_is_told_once(
    flows: Flows,
    body: str,
    when_retried: Callable[[Message], bool],
    when_not: Callable[[Message], bool],
    *,
    should_retry: bool,
) -> None:
    with flows.started(task(body), should_retry=should_retry) as one:
        assert one.run() == Exit.TOLD
        [told] = one.terminal
        assert (when_retried if should_retry else when_not)(told)
        assert one.fault is None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ValueError('at import')", "ValueError: at import"),
        ("def task(:", "SyntaxError"),
        ("x = 1", "task"),
        ("import os\nimport no_such_module", "no_such_module"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_a_failure_that_says_why(flows: Flows, source: str, reason: str) -> None:
    with flows.started(source) as one:
        assert one.run() == Exit.TOLD
        [told] = one.terminal
        assert is_failed(told)
        assert isinstance(told, TaskState)
        assert reason in (told.retry_reason or "")


def test_a_bundle_that_is_not_known_here_is_a_failure_that_says_so(tmp_path: Path) -> None:
    with child(tmp_path) as one:
        one.greet(replace(greeting(), bundle_info=replace(greeting().bundle_info, name="elsewhere")))
        assert one.run() == Exit.TOLD
        assert isinstance(one.terminal[0], TaskState)
        assert "no bundle 'elsewhere'" in (one.terminal[0].retry_reason or "")


def test_a_bundle_has_its_root_from_the_environment(flows: Flows, tmp_path: Path) -> None:
    flows.file(task("print('found')"))
    with child(tmp_path, TASKHAND_BUNDLES=f'{{"mine": "{tmp_path}"}}') as one:
        told = greeting("flow_file.py")
        one.greet(replace(told, bundle_info=replace(told.bundle_info, name="mine")))
        assert one.run() == Exit.TOLD
        assert is_success(one.terminal[0])


def test_what_the_task_returned_is_handed_on_before_the_outcome_is_told(flows: Flows) -> None:
    with flows.started(task("return [1, 2, 3]")) as one:
        assert one.run() == Exit.TOLD
        handed, told = one.asked
        assert isinstance(handed, SetXCom)
        assert (handed.key, handed.value, handed.mapped_length, handed.map_index) == ("return_value", [1, 2, 3], 3, -1)
        assert is_success(told)


def test_what_an_earlier_try_handed_on_is_removed_first(flows: Flows) -> None:
    with flows.started(task("ctx.variables.get('k')"), xcom_keys_to_clear=["a", "b"]) as one:
        one.run()
        assert [type(message) for message in one.asked[:3]] == [DeleteXCom, DeleteXCom, GetVariable]


def answer_xcoms(message: Message) -> Message | None:
    if isinstance(message, GetXCom):
        return XComResult(message.key, {"rows": [10, 20, 30], "one": 1}.get(message.task_id))
    if isinstance(message, GetXComSequenceSlice):
        return XComSequenceSliceResult([7, 8])
    if isinstance(message, GetXComSequenceItem):
        return XComSequenceIndexResult(700 + message.offset)
    return acknowledge(message)


def test_arguments_are_bound_to_literals_to_results_to_items_and_to_all_results(flows: Flows) -> None:
    bindings: list[Any] = [
        LiteralArgBinding("a", value={"deep": [1]}),
        XComArgBinding("b", "one"),
        MappedArgBinding("c", "rows"),
        MappedArgBinding("d", "mapped"),
        XComArgBinding("e", "mapped", {"type": "array", "x-mapped": True}),
    ]
    with child(flows.folder) as one:
        message = greeting(flows.file(task("return [a, b, c, d, e]", "a, b, c, d, e")), arg_bindings=bindings)
        one.greet(replace(message, ti=replace(message.ti, map_index=1)))
        assert one.run(answer_xcoms) == Exit.TOLD
        [handed] = [message for message in one.asked if isinstance(message, SetXCom)]
        assert handed.value == [{"deep": [1]}, 1, 20, 701, [7, 8]]
        assert handed.map_index == 1


def test_none_is_handed_on_only_among_the_results_of_a_mapped_task(flows: Flows) -> None:
    with child(flows.folder) as one:
        message = greeting(flows.file(task("return None")))
        one.greet(replace(message, ti=replace(message.ti, map_index=0)))
        one.run()
        assert [type(message) for message in one.asked] == [SetXCom, SucceedTask]
    with flows.started(task("return None")) as one:
        one.run()
        assert [type(message) for message in one.asked] == [SucceedTask]


@pytest.mark.parametrize(
    "parameters", ["ctx", "*, ctx", "ctx=None"], ids=["positional", "by keyword", "with a default"]
)
def test_a_task_gets_its_context_when_it_has_a_parameter_of_that_name(flows: Flows, parameters: str) -> None:
    body = (
        "assert ctx is current()\nprint(ctx.flow, ctx.run_id, ctx.task_id, ctx.try_number, ctx.map_index, ctx.params)"
    )
    with flows.started(task(body, parameters)) as one:
        assert one.run() == Exit.TOLD
        assert one.out.all() == b"flow run task 1 -1 {}\n"


def test_a_task_without_that_parameter_gets_none(flows: Flows) -> None:
    with flows.started(task("print(current().task_id)", "")) as one:
        assert one.run() == Exit.TOLD
        assert one.out.all() == b"task\n"


def test_async_tasks_run_and_may_ask_many_things_at_once(flows: Flows) -> None:
    body = (
        "async def one(n): return (await aask(GetVariable(f'k{n}'))).value\n"
        "return await asyncio.gather(*(one(n) for n in range(200)))"
    )
    source = task(body, "ctx", kind="async def") + "from protocol.messages.variables import GetVariable\n"

    def answer(message: Message) -> Message | None:
        return VariableResult(message.key, message.key) if isinstance(message, GetVariable) else acknowledge(message)

    with flows.started(source) as one:
        assert one.run(answer) == Exit.TOLD
        [handed] = [message for message in one.asked if isinstance(message, SetXCom)]
        assert handed.value == [f"k{number}" for number in range(200)]


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('x')",
        "raise asyncio.CancelledError",
        "asyncio.current_task().cancel(); await asyncio.sleep(9)",
    ],
)
def test_async_tasks_fail_like_others(flows: Flows, body: str) -> None:
    with flows.started(task(body, kind="async def")) as one:
        assert one.run() == Exit.TOLD
        assert is_failed(one.terminal[0])


# --- a supervisor that does not want it, is gone, or talks nonsense ---------------------------------------------------


@pytest.mark.parametrize("body", ["return", "raise Skip", "raise Reschedule(after=1)", "raise ValueError"])
def test_an_outcome_that_was_refused_never_exits_with_zero(flows: Flows, body: str) -> None:
    def answer(_message: Message) -> Message | None:
        return ErrorResponse(ErrorType.API_SERVER_ERROR, {"status_code": 409, "message": "not running"})

    with flows.started(task(body)) as one:
        assert one.run(answer) == Exit.UNTOLD
        assert any("refused" in entry["event"] for entry in one.logs)


def test_a_supervisor_that_is_gone_before_the_greeting_ends_the_child(tmp_path: Path) -> None:
    with child(tmp_path) as one:
        one.channel.close()
        assert one.wait() == Exit.CHANNEL_LOST


def test_a_supervisor_that_goes_while_it_is_asked_ends_the_task_even_if_it_catches_exceptions(flows: Flows) -> None:
    body = "try: ctx.variables.get('k')\nexcept Exception: pass\nprint('went on')"
    with flows.started(task(body)) as one:
        assert one.run(until=lambda message: isinstance(message, GetVariable)) is None
        one.channel.close()
        assert one.wait() == Exit.CHANNEL_LOST
        assert one.out.all() == b""


def test_a_supervisor_that_goes_while_the_task_works_is_missed_at_the_end(flows: Flows) -> None:
    with flows.started(task("print('here')\nsys.stdin.read()\nprint('done')")) as one:
        one.printed(b"done")
        one.channel.close()
        assert one.wait() == Exit.CHANNEL_LOST


@pytest.mark.parametrize("data", [b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\xc1\xc1"])
def test_garbage_instead_of_a_greeting_ends_the_child(tmp_path: Path, data: bytes) -> None:
    with child(tmp_path) as one:
        one.channel.sendall(data)
        assert one.wait() == Exit.CHANNEL_GARBLED


def test_garbage_instead_of_an_answer_ends_the_task(flows: Flows) -> None:
    with flows.started(task("ctx.variables.get('k')")) as one:
        assert one.run(until=lambda message: isinstance(message, GetVariable)) is None
        one.channel.sendall(b"\xff\xff\xff\xff")
        assert one.wait() == Exit.CHANNEL_GARBLED


def test_a_greeting_that_comes_byte_by_byte_is_a_greeting(flows: Flows) -> None:
    with child(flows.folder) as one:
        data = one.session.greet(greeting(flows.file(task("print('hello')"))))
        for start in range(len(data)):
            one.channel.send(data[start : start + 1])
        assert one.run() == Exit.TOLD
        assert one.out.all() == b"hello\n"


def test_a_half_closed_channel_is_a_closed_one(flows: Flows) -> None:
    with flows.started(task("ctx.variables.get('k')")) as one:
        assert one.run(until=lambda message: isinstance(message, GetVariable)) is None
        one.channel.shutdown(socket.SHUT_WR)
        assert one.wait() == Exit.CHANNEL_LOST


# --- what the process is like -----------------------------------------------------------------------------------------


def test_a_program_the_task_starts_inherits_no_channel(flows: Flows) -> None:
    body = "import subprocess\nsubprocess.run(['ls', '-l', '/proc/self/fd'], close_fds=False, check=True)"
    with flows.started(task(body)) as one:
        assert one.run() == Exit.TOLD
        assert b"socket" not in one.out.all()


def test_a_process_the_task_forks_cannot_ask_and_does_not_disturb(flows: Flows) -> None:
    body = (
        "pid = os.fork()\n"
        "if not pid:\n"
        "    try: ctx.variables.get('child')\n"
        "    except BaseException as error: os._exit(len(type(error).__name__))\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "ctx.xcom.set('k', 1)"
    )
    with flows.started(task(body)) as one:
        assert one.run() == Exit.TOLD
        assert [type(message) for message in one.asked] == [SetXCom, SucceedTask]
        assert one.out.all() == b"%d\n" % len("ForkedChannel")


def test_what_is_printed_arrives_when_it_is_printed_whatever_its_characters(flows: Flows) -> None:
    with flows.started(task("print('a\\ud800ä')\nctx.variables.get('k')")) as one:
        assert one.run(until=lambda message: isinstance(message, GetVariable)) is None
        one.printed("a\\ud800ä\n".encode())


def test_what_is_printed_without_a_line_break_arrives_at_the_end(flows: Flows) -> None:
    with flows.started(task("print('x', end='')\nprint('y', end='', file=sys.stderr)")) as one:
        assert one.run() == Exit.TOLD
        assert (one.out.all(), one.err.all()) == (b"x", b"y")


def test_a_task_may_close_its_streams(flows: Flows) -> None:
    with flows.started(task("sys.stdout.close()\nsys.stderr.close()\nos.close(1)")) as one:
        assert one.run() == Exit.TOLD
        assert is_success(one.terminal[0])


def test_the_supervisor_gets_the_stacks_of_all_threads_for_a_signal(flows: Flows) -> None:
    body = (
        "threading.Thread(target=lambda: ctx.variables.get('inside_a_thread')).start()\n"
        "print('ready')\n"
        "threading.Event().wait()"
    )
    with flows.started(task(body)) as one:
        one.run(until=lambda message: isinstance(message, GetVariable))
        one.printed(b"ready")
        one.process.send_signal(signal.SIGUSR2)
        one.err.until(b"in task\n")
        one.err.until(b"most recent call first")


def test_an_exception_is_in_the_log_in_the_channels_form(flows: Flows) -> None:
    with flows.started(task("raise ValueError('bad')")) as one:
        one.run()
        [entry] = [entry for entry in one.logs if "exception" in entry]
        assert entry["level"] == "error"
        assert entry["exception"][0]["exc_type"] == "ValueError"
        assert [frame["name"] for frame in entry["exception"][0]["frames"]] == ["task"]


def test_a_delay_may_be_a_timedelta(flows: Flows) -> None:
    with flows.started(
        task("from datetime import timedelta\nraise Retry(after=timedelta(minutes=2))"), should_retry=True
    ) as one:
        one.run()
        [told] = one.terminal
        assert isinstance(told, RetryTask)
        assert told.retry_delay_seconds == timedelta(minutes=2).total_seconds()


def test_importing_the_child_imports_nothing_heavy() -> None:
    heavy = "{'asyncio', 'httpx', 'structlog', 'click', 'rich', 'ssl', 'socket'}"
    assert Child.python(f"import sys, runner.child; print(sorted({heavy} & set(sys.modules)))") == "[]\n"
