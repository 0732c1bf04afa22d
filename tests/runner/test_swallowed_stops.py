"""A stop that was raised in a task, and caught there: only who says so has finished."""

from pathlib import Path

import pytest

from protocol.messages.checkpoints import CheckpointSaved, SaveCheckpoint, StopReason
from protocol.messages.outcomes import SucceedTask
from protocol.messages.xcoms import SetXCom
from runner.outcomes import Exit
from tests.runner.children import Flows
from tests.runner.stops import checkpointed, stopping
from tests.runner.test_child import task

LONG = "threading.Event().wait()"
ASYNC_LONG = "await asyncio.sleep(99)"


@pytest.fixture
def flows(tmp_path: Path) -> Flows:
    return Flows(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_task_that_says_that_it_is_done_all_the_same_is_a_success(flows: Flows, kind: str) -> None:
    long = LONG if kind == "def" else ASYNC_LONG
    body = f"print('ready')\ntry: {long}\nexcept BaseException: ctx.finished()\nreturn 7"
    with flows.started(task(body, kind=kind)) as one:
        one.printed(b"ready")
        one.terminate()
        assert one.run(stopping()) == Exit.TOLD
        assert isinstance(one.terminal[0], SucceedTask)


SWALLOWED = {
    "in the middle of its work": (
        "def",
        f"for row in range(3):\n    try:\n        if not row: {LONG}\n    except BaseException: continue\nreturn 7",
    ),
    "and returns at once": ("def", f"try: {LONG}\nexcept BaseException: return 7"),
    "in its loop": ("async def", f"try: {ASYNC_LONG}\nexcept BaseException: return 7"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "body"), SWALLOWED.values(), ids=SWALLOWED)
@pytest.mark.parametrize("saved", [False, True])
def test_a_task_that_swallows_its_interruption_and_returns_is_not_done(
    flows: Flows, kind: str, body: str, *, saved: bool
) -> None:
    """What it returned is not handed on: a piece of it may be missing."""
    body = f"{'ctx.save(1)' if saved else 'pass'}\nprint('ready')\n{body}"
    with flows.started(task(body, kind=kind)) as one:
        if saved:
            one.run(stopping(grace=1.0), until=lambda message: isinstance(message, SaveCheckpoint))
            one.reply(one.last, CheckpointSaved(1))
        one.printed(b"ready")
        one.terminate()
        code = one.run(stopping(grace=1.0))
        assert not [each for each in one.asked if isinstance(each, SetXCom)]
        if saved:
            assert code == Exit.TOLD
            checkpointed(one, StopReason.DRAIN)
        else:
            assert (code, one.terminal) == (Exit.INTERRUPTED, [])
