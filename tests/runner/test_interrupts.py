"""SIGTERM, to real children: at every stage of a task, to every kind of task, once, twice and at random."""

import signal
import subprocess
from pathlib import Path

import pytest

from protocol.messages.checkpoints import (
    CheckpointRecord,
    CheckpointResult,
    CheckpointSaved,
    GetCheckpoint,
    GetStopRequest,
    SaveCheckpoint,
)
from protocol.messages.control import ErrorResponse, ErrorType
from protocol.messages.outcomes import RetryTask, SucceedTask
from protocol.messages.shape import Message
from protocol.messages.xcoms import SetXCom
from runner.interrupts import margin_of
from runner.outcomes import Exit
from tests.runner.children import Flows, acknowledge, child
from tests.runner.samples import NOW
from tests.runner.stops import SAVES, checkpointed, stopping
from tests.runner.test_child import task

LONG = "threading.Event().wait()"


@pytest.fixture
def flows(tmp_path: Path) -> Flows:
    return Flows(tmp_path)


def unknown(message: Message) -> Message | None:
    """Answer as a supervisor that does not know our questions."""
    if isinstance(message, GetStopRequest):
        return ErrorResponse(ErrorType.API_SERVER_ERROR, {"status_code": 400, "message": "Unhandled request"})
    return acknowledge(message)


@pytest.mark.parametrize(("grace", "margin"), [(1.0, 0.5), (0.5, 0.25), (0.0, 0.0), (10.0, 2.0), (300.0, 5.0)])
def test_the_margin_is_a_part_of_the_grace_within_bounds(grace: float, margin: float) -> None:
    assert margin_of(grace) == margin


# --- a task that never looks ------------------------------------------------------------------------------------------

NEVER_LOOKS = {
    "in a lock": LONG,
    "in a loop": "while True: pass",
    "in the system": "os.read(os.pipe()[0], 1)",
    "waiting for a thread": "t = threading.Thread(target=threading.Event().wait, daemon=True); t.start(); t.join()",
    "waiting for an answer": "while True: ctx.variables.get('k')",
    "at an except Exception": "while True:\n    try: threading.Event().wait()\n    except Exception: pass",
}


@pytest.mark.slow
@pytest.mark.parametrize("body", NEVER_LOOKS.values(), ids=NEVER_LOOKS)
def test_a_task_that_never_looks_is_interrupted_and_cleans_up(flows: Flows, body: str) -> None:
    body = "try:\n" + "\n".join(f"    {line}" for line in f"print('ready')\n{body}".splitlines())
    body += "\nfinally: print('cleaned up', ctx.stop_reason)"
    with flows.started(task(body)) as one:
        one.printed(b"ready")
        one.terminate()
        assert one.run(stopping()) == Exit.INTERRUPTED
        assert one.out.all() == b"ready\ncleaned up drain\n"
        assert one.terminal == []
        assert one.fault is None


@pytest.mark.slow
def test_an_async_task_is_cancelled_and_cleans_up(flows: Flows) -> None:
    body = (
        "try:\n    print('ready'); await asyncio.sleep(99)\nfinally:\n    await asyncio.sleep(0); print('cleaned up')"
    )
    with flows.started(task(body, kind="async def")) as one:
        one.printed(b"ready")
        one.terminate()
        assert one.run(stopping()) == Exit.INTERRUPTED
        assert one.out.all() == b"ready\ncleaned up\n"


@pytest.mark.slow
def test_an_async_task_that_blocks_its_loop_is_interrupted_at_the_last_call(flows: Flows) -> None:
    body = f"try:\n    print('ready'); {LONG}\nfinally: print('cleaned up')"
    with flows.started(task(body, kind="async def")) as one:
        one.printed(b"ready")
        one.terminate()
        assert one.run(stopping(grace=1.0)) == Exit.INTERRUPTED
        assert one.out.all() == b"ready\ncleaned up\n"


@pytest.mark.slow
def test_a_task_that_looks_ends_as_it_likes(flows: Flows) -> None:
    body = (
        "from datetime import UTC, datetime\nctx.checkpoint\nprint('ready')\n"
        "while not ctx.stopping: pass\nprint(ctx.deadline > datetime.now(UTC))"
    )
    with flows.started(task(body)) as one:
        one.run(stopping(), until=lambda message: isinstance(message, GetCheckpoint))
        one.reply(one.last, CheckpointResult())
        one.printed(b"ready")
        one.terminate()
        assert one.run(stopping()) == Exit.TOLD
        assert one.out.all() == b"ready\nTrue\n"


# --- a task that saves ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_task_that_saves_stops_at_its_next_save(flows: Flows) -> None:
    answer = stopping()
    with flows.started(task(SAVES)) as one:
        one.run(answer, until=lambda message: isinstance(message, SaveCheckpoint) and message.progress == 5)
        one.terminate()
        one.reply(one.last, CheckpointSaved(5))
        assert one.run(answer) == Exit.TOLD
        checkpointed(one)
        saves = [message for message in one.asked if isinstance(message, SaveCheckpoint)]
        assert [save.progress for save in saves] == list(range(1, len(saves) + 1))


@pytest.mark.slow
def test_a_save_that_is_answered_with_a_stop_is_where_the_task_stops(flows: Flows) -> None:
    def answer(message: Message) -> Message | None:
        return CheckpointSaved(3, stopping=True) if isinstance(message, SaveCheckpoint) else acknowledge(message)

    with flows.started(task(SAVES)) as one:
        assert one.run(answer) == Exit.TOLD
        checkpointed(one, None)


@pytest.mark.slow
def test_a_task_that_resumed_begins_where_it_stopped(flows: Flows) -> None:
    record = CheckpointRecord(9, 1, NOW, 41.0, None, {"step": 41})

    def answer(message: Message) -> Message | None:
        if isinstance(message, SaveCheckpoint):
            return CheckpointSaved(10, stopping=True)
        return CheckpointResult(record) if isinstance(message, GetCheckpoint) else acknowledge(message)

    with flows.started(task(SAVES)) as one:
        assert one.run(answer) == Exit.TOLD
        [saved] = [message for message in one.asked if isinstance(message, SaveCheckpoint)]
        assert (saved.data, saved.blob, saved.progress) == ({"step": 42}, None, 42)
        assert str(saved.fingerprint).startswith("code=")


@pytest.mark.slow
def test_a_task_that_saves_too_seldom_is_interrupted_at_the_last_call_with_its_last_save(
    flows: Flows,
) -> None:
    body = f"ctx.save(1)\nprint('ready')\ntry: {LONG}\nfinally: print('cleaned up')"
    with flows.started(task(body)) as one:
        one.run(stopping(), until=lambda message: isinstance(message, SaveCheckpoint))
        one.reply(one.last, CheckpointSaved(1))
        one.printed(b"ready")
        one.terminate()
        assert one.run(stopping(grace=1.0)) == Exit.TOLD
        checkpointed(one)
        assert one.out.all() == b"ready\ncleaned up\n"


@pytest.mark.slow
def test_a_second_signal_is_the_last_call(flows: Flows) -> None:
    body = f"ctx.save(1)\nprint('ready')\ntry: {LONG}\nfinally: print('cleaned up')"
    with flows.started(task(body)) as one:
        one.run(stopping(), until=lambda message: isinstance(message, SaveCheckpoint))
        one.reply(one.last, CheckpointSaved(1))
        one.printed(b"ready")
        one.terminate()
        one.run(stopping(), until=lambda message: isinstance(message, GetStopRequest))
        one.reply(one.last, stopping(grace=3600.0)(GetStopRequest()))
        one.logged(b"asked to stop")
        one.terminate()
        assert one.run(stopping()) == Exit.TOLD
        checkpointed(one)


@pytest.mark.slow
def test_a_task_that_saves_when_it_is_interrupted_stops_on_that_save(flows: Flows) -> None:
    body = f"print('ready')\ntry: {LONG}\nfinally: ctx.save('last')"
    with flows.started(task(body)) as one:
        one.printed(b"ready")
        one.terminate()
        assert one.run(stopping()) == Exit.TOLD
        checkpointed(one)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_save_in_a_thread_stops_the_task_through_it(flows: Flows, kind: str) -> None:
    body = (
        "await asyncio.to_thread(ctx.save, 1)"
        if kind != "def"
        else "from concurrent.futures import ThreadPoolExecutor as P\nwith P() as p: p.submit(ctx.save, 1).result()"
    )

    def answer(message: Message) -> Message | None:
        return CheckpointSaved(1, stopping=True) if isinstance(message, SaveCheckpoint) else acknowledge(message)

    with flows.started(task(body, kind=kind)) as one:
        assert one.run(answer) == Exit.TOLD
        checkpointed(one, None)


THREAD = "t = threading.Thread(target=ctx.save, args=(1,))\nt.start(); t.join()\n"
STOPPED_AT_SAVE = {
    "and its main thread returns": ("def", THREAD + "return 7"),
    "and its main thread misses the result": ("def", THREAD + "return {}['result']"),
    "which it catches": ("def", "try: ctx.save(1)\nexcept BaseException: pass\nreturn 7"),
    "in a group of tasks": (
        "async def",
        "async with asyncio.TaskGroup() as g: g.create_task(asyncio.to_thread(ctx.save)); await asyncio.sleep(99)",
    ),
    "in a task that nobody awaits": (
        "async def",
        "async def save(): ctx.save(1)\nt = asyncio.create_task(save())\nawait asyncio.sleep(0.01)\nreturn 7",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "body"), STOPPED_AT_SAVE.values(), ids=STOPPED_AT_SAVE)
def test_a_task_is_not_done_whose_save_said_that_it_stops_there(flows: Flows, kind: str, body: str) -> None:
    def answer(message: Message) -> Message | None:
        return CheckpointSaved(1, stopping=True) if isinstance(message, SaveCheckpoint) else acknowledge(message)

    with flows.started(task(body, kind=kind)) as one:
        assert one.run(answer) == Exit.TOLD
        checkpointed(one, None)


def test_a_stop_that_ends_a_thread_is_no_error_of_it(flows: Flows) -> None:
    def answer(message: Message) -> Message | None:
        return CheckpointSaved(1, stopping=True) if isinstance(message, SaveCheckpoint) else acknowledge(message)

    other = "o = threading.Thread(target=int, args=('x',), name='other')\no.start(); o.join()\n"
    with flows.started(task(other + THREAD + "return 7")) as one:
        assert one.run(answer) == Exit.TOLD
        checkpointed(one, None)
        printed = one.err.all()
    assert b"Exception in thread other" in printed
    assert b"Checkpointed" not in printed


RAISES_AS_IT_STOPS = {
    "def": f"try: {LONG}\nfinally: raise OSError('closed')",
    "async def": "try: await asyncio.sleep(99)\nfinally: raise OSError('closed')",
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "body"), RAISES_AS_IT_STOPS.items())
def test_an_error_in_the_clean_up_of_a_stop_is_said_and_is_no_failure(flows: Flows, kind: str, body: str) -> None:
    with flows.started(task(f"print('ready')\n{body}", kind=kind)) as one:
        one.printed(b"ready")
        one.terminate()
        assert one.run(stopping()) == Exit.INTERRUPTED
        assert one.terminal == []
        assert any("as it stopped" in entry["event"] and "exception" in entry for entry in one.logs)


# --- hooks ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_hooks_run_before_the_interruption_the_last_one_first_whatever_they_raise(flows: Flows) -> None:
    body = (
        "ctx.on_stop(lambda: print('first', ctx.stop_reason))\nctx.on_stop(lambda: 1 / 0)\n"
        "ctx.on_stop(lambda: print('last'))\nprint('ready')\n"
        f"try: {LONG}\nfinally:\n    ctx.on_stop(lambda: print('at once'))"
    )
    with flows.started(task(body)) as one:
        one.printed(b"ready")
        one.terminate()
        assert one.run(stopping()) == Exit.INTERRUPTED
        assert one.out.all() == b"ready\nlast\nfirst drain\nat once\n"
        assert any("on_stop" in entry["event"] and "exception" in entry for entry in one.logs)


@pytest.mark.slow
def test_a_hook_may_save_for_a_task_that_never_looks(flows: Flows) -> None:
    body = f"ctx.on_stop(lambda: ctx.save('from the hook'))\nprint('ready')\n{LONG}"
    with flows.started(task(body)) as one:
        one.printed(b"ready")
        one.terminate()
        assert one.run(stopping()) == Exit.TOLD
        checkpointed(one)


@pytest.mark.slow
def test_a_hook_that_hangs_holds_the_interruption_up_to_the_last_call_and_no_longer(flows: Flows) -> None:
    body = f"ctx.on_stop(threading.Event().wait)\nprint('ready')\n{LONG}"
    with flows.started(task(body)) as one:
        one.printed(b"ready")
        one.terminate()
        assert one.run(stopping(grace=1.0)) == Exit.INTERRUPTED


# --- stages, and supervisors ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("should_retry", [True, False])
def test_a_stop_that_nobody_explains_is_a_failure(flows: Flows, *, should_retry: bool) -> None:
    with flows.started(task(f"print('ready')\n{LONG}"), should_retry=should_retry) as one:
        one.printed(b"ready")
        one.terminate()
        assert one.run(unknown) == Exit.TOLD
        assert isinstance(one.terminal[0], RetryTask) is should_retry


@pytest.mark.slow
def test_a_supervisor_that_never_answers_what_it_does_not_know_does_not_hold_the_stop_up(flows: Flows) -> None:
    with flows.started(task(f"print('ready')\n{LONG}")) as one:
        one.printed(b"ready")
        one.terminate()
        assert one.run(until=lambda message: isinstance(message, GetStopRequest)) is None
        assert one.run(acknowledge) == Exit.TOLD
        assert len(one.terminal) == 1


@pytest.mark.slow
def test_a_stop_before_the_greeting_ends_the_child(flows: Flows) -> None:
    with child(flows.folder) as one:
        one.terminate()
        assert one.wait() in {-signal.SIGTERM, Exit.INTERRUPTED}


@pytest.mark.slow
def test_a_stop_while_the_file_is_loaded_interrupts_the_loading(flows: Flows) -> None:
    with flows.started(f"import threading\nprint('loading')\n{LONG}") as one:
        one.printed(b"loading")
        one.terminate()
        assert one.run(stopping()) == Exit.INTERRUPTED


@pytest.mark.slow
def test_a_stop_after_the_end_changes_nothing(flows: Flows) -> None:
    with flows.started(task("return 7")) as one:
        one.run(stopping(), until=lambda message: isinstance(message, SucceedTask))
        one.terminate()
        one.terminate()
        one.reply(one.last, None)
        assert one.run(stopping()) == Exit.TOLD
        assert [type(message) for message in one.terminal] == [SucceedTask]


@pytest.mark.slow
def test_what_was_not_handed_on_was_not_done(flows: Flows) -> None:
    with flows.started(task("return 7")) as one:
        one.run(stopping(), until=lambda message: isinstance(message, SetXCom))
        one.terminate()
        assert one.run(stopping()) == Exit.INTERRUPTED


@pytest.mark.slow
def test_what_the_task_forks_dies_of_the_signal(flows: Flows) -> None:
    body = (
        "pid = os.fork()\nif not pid:\n    threading.Event().wait()\n"
        "os.kill(pid, 15)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    with flows.started(task(body)) as one:
        assert one.run(stopping()) == Exit.TOLD
        assert one.out.all() == b"-15\n"


@pytest.mark.slow
def test_an_alarm_of_the_tasks_own_does_not_reach_the_telling_of_its_outcome(flows: Flows) -> None:
    body = (
        "import signal\nsignal.signal(signal.SIGALRM, lambda *_: 1 / 0)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.05, 0.001)"
    )
    with flows.started(task(body)) as one:
        one.run(stopping(), until=lambda message: isinstance(message, SucceedTask))
        with pytest.raises(subprocess.TimeoutExpired):
            one.process.wait(0.2)
        one.reply(one.last, None)
        assert one.run(stopping()) == Exit.TOLD
