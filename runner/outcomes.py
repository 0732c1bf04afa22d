"""How an attempt ends, as values, and what is told of each.

A task ends by returning or by raising; what it raised is an outcome of its own (`Skip`, `Fail`, `Retry`, `Reschedule`),
or a stop (`Checkpointed`, `Held`, `TaskInterrupted`), or anything else, which is a failure: `SystemExit` too, whatever
its code, because a library that calls `sys.exit()` has not finished the task. Whether a failure is retried is decided
here, once, by what the server said when the attempt began.

What a stop led to is the stop: an error in the clean-up it caused, a group that it is part of. And a task whose save
said "stop here", in whichever thread, has not finished, whatever became of the exception; nor has one that was
interrupted and returns, unless it says so.

A way to end is an outcome here, a row in `RAISED` when it is raised, and a row in `TERMINAL`. Telling nothing is a
row too: an interruption without a checkpoint is the supervisor's to judge, which knows why it stopped the task.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, TypeVar

from msgspec import Struct

from protocol.messages.checkpoints import CheckpointTask, StopReason
from protocol.messages.outcomes import RescheduleTask, RetryTask, SucceedTask, TaskState
from protocol.messages.shape import Message
from protocol.values import seconds
from runner.tracebacks import text_of

ErrorT = TypeVar("ErrorT", bound=BaseException)

LONGEST_REASON = 500
"""What the server keeps of a reason."""


class Exit(IntEnum):
    """The process's exit codes. None of them is in the exit-code contract of plain programs."""

    TOLD = 0
    """The outcome was told and acknowledged."""
    UNTOLD = 1
    """The outcome was refused."""
    CHANNEL_LOST = 74
    """The supervisor is gone (EX_IOERR)."""
    CHANNEL_GARBLED = 76
    """The supervisor said what cannot be understood (EX_PROTOCOL)."""
    INTERRUPTED = 143
    """A stop ended the task without a checkpoint; nothing was told (128 + SIGTERM, as a shell has it)."""


# --- what tasks raise -------------------------------------------------------------------------------------------------


class Skip(Exception):
    """End as skipped."""


class Fail(Exception):
    """End as failed, and do not try again, whatever retries are left."""


class Retry(Exception):
    """Fail this try; try again when retries are left, after a delay of its own when one is given."""

    def __init__(self, reason: str = "", *, after: timedelta | float | None = None) -> None:
        super().__init__(reason)
        self.after = None if after is None else max(0.0, seconds(after))


class Reschedule(Exception):
    """Not ready: start again at a moment, or after a time. No retry is spent."""

    def __init__(self, reason: str = "", *, at: datetime | None = None, after: timedelta | float | None = None) -> None:
        super().__init__(reason)
        if (at is None) == (after is None):
            raise ValueError("Reschedule needs a moment or a time: Reschedule(at=…) or Reschedule(after=…)")
        if at is not None and at.tzinfo is None:
            raise ValueError(f"Reschedule(at={at!r}) has no time zone, so it is not a moment")
        self.at = at
        self.after = None if after is None else max(0.0, seconds(after))


class Stopped(BaseException):
    """The attempt was asked to stop. Not an `Exception`: no `except Exception` may turn a stop into work."""


class Checkpointed(Stopped):
    """Raised by `ctx.save` when its record is safe and the attempt is to stop."""


class Held(Stopped):
    """Raised by `ctx.checkpoint` when what wrote the record has changed, and its author wants a person to look."""


class TaskInterrupted(Stopped):
    """Raised in the main thread of a task that is to stop and does not look, so that its `finally` blocks run."""


# --- the outcomes -----------------------------------------------------------------------------------------------------


class Stop(Struct, frozen=True):
    """What is known of a stop: why (None: it came from outside), and whether there is a checkpoint to resume from."""

    reason: StopReason | None = None
    on_record: bool = False
    at_save: bool = False
    """A save of the task's has raised `Checkpointed`."""


class Outcome(Struct, frozen=True):
    """How it ended."""


class Returned(Outcome, frozen=True):
    """It returned."""


class Skipped(Outcome, frozen=True):
    """It skipped itself."""


class Failed(Outcome, frozen=True):
    """It failed for good."""

    reason: str


class Raised(Outcome, frozen=True):
    """It failed, and may be tried again, perhaps after a delay of its own."""

    reason: str
    after: float | None = None


class Rescheduled(Outcome, frozen=True):
    """It is not ready before a moment."""

    at: datetime
    reason: str = ""


class Saved(Outcome, frozen=True):
    """It stopped on the checkpoint it saved last."""

    stop: Stop


class HeldBack(Outcome, frozen=True):
    """It did not begin, because its record is not to be resumed silently."""

    reason: str


class Interrupted(Outcome, frozen=True):
    """It was interrupted by a stop."""

    stop: Stop


def _rescheduled_at(error: Reschedule, now: datetime) -> Outcome:
    at = now + timedelta(seconds=error.after or 0.0) if error.at is None else error.at
    return Rescheduled(at, text_of(error)[:LONGEST_REASON])


RAISED: tuple[tuple[type[BaseException], Callable[[Any, datetime, Stop], Outcome]], ...] = (
    (Skip, lambda _error, _now, _stop: Skipped()),
    (Fail, lambda error, _now, _stop: Failed(reason_of(error))),
    (Retry, lambda error, _now, _stop: Raised(reason_of(error), error.after)),
    (Reschedule, lambda error, now, _stop: _rescheduled_at(error, now)),
    (Checkpointed, lambda _error, _now, stop: Saved(stop)),
    (Held, lambda error, _now, _stop: HeldBack(text_of(error)[:LONGEST_REASON])),
    (TaskInterrupted, lambda _error, _now, stop: Interrupted(stop)),
    (BaseException, lambda error, _now, stop: Saved(stop) if stop.at_save else Raised(reason_of(error))),
)
"""What each exception comes to; the first that fits."""

WORDS = (Skip, Fail, Retry, Reschedule, Stopped)
"""What says by itself how the task ended, whatever led to it."""


def behind(error: BaseException, kind: type[ErrorT]) -> ErrorT | None:
    """Find an error of a kind in what led to this one, and among what it groups."""
    seen: set[int] = set()
    found: list[BaseException | None] = [error]
    while found:
        one = found.pop()
        if one is None or id(one) in seen:
            continue
        if isinstance(one, kind):
            return one
        seen.add(id(one))
        found += [one.__context__, one.__cause__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]
    return None


def word_of(error: BaseException) -> BaseException:
    """Give the error that counts: the stop that led to it, or the only one in its group."""
    if isinstance(error, WORDS):
        return error
    stopped = behind(error, Stopped)
    if stopped is not None:
        return stopped
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        [error] = error.exceptions
    return error


def outcome_of(error: BaseException, now: datetime, stop: Stop) -> Outcome:
    """Give the outcome of a task that raised. What it asked for may be impossible, such as a moment after all time."""
    error = word_of(error)
    try:
        return next(make(error, now, stop) for kind, make in RAISED if isinstance(error, kind))
    except (ArithmeticError, ValueError) as impossible:
        return Raised(f"{type(error).__qualname__}: {reason_of(impossible)}")


def reason_of(error: BaseException) -> str:
    """Say why, as short as the server keeps it."""
    name, said = type(error).__qualname__, text_of(error)
    if not said:
        return name
    return (said if isinstance(error, Fail | Retry) else f"{name}: {said}")[:LONGEST_REASON]


# --- what is told -----------------------------------------------------------------------------------------------------


def _interrupted(outcome: Interrupted, now: datetime, *, should_retry: bool) -> Message | None:
    if outcome.stop.on_record:
        return CheckpointTask(now, reason=outcome.stop.reason)
    if outcome.stop.reason is not None:
        return None
    return _raised(Raised("the task was interrupted by a signal"), now, should_retry=should_retry)


def _raised(outcome: Raised, now: datetime, *, should_retry: bool) -> Message:
    if should_retry:
        return RetryTask(now, retry_delay_seconds=outcome.after, retry_reason=outcome.reason)
    return TaskState("failed", now, retry_reason=outcome.reason)


def _returned(_outcome: Returned, now: datetime, *, should_retry: bool) -> Message:  # noqa: ARG001 - one form for all
    return SucceedTask(now, task_outlets=[], outlet_events=[])


def _skipped(_outcome: Skipped, now: datetime, *, should_retry: bool) -> Message:  # noqa: ARG001 - one form for all
    return TaskState("skipped", now)


def _failed(outcome: Failed, now: datetime, *, should_retry: bool) -> Message:  # noqa: ARG001 - one form for all
    return TaskState("failed", now, retry_reason=outcome.reason)


def _rescheduled(outcome: Rescheduled, now: datetime, *, should_retry: bool) -> Message:  # noqa: ARG001 - one form
    return RescheduleTask(outcome.at, now)


def _saved(outcome: Saved, now: datetime, *, should_retry: bool) -> Message:  # noqa: ARG001 - one form for all
    return CheckpointTask(now, reason=outcome.stop.reason)


def _held_back(outcome: HeldBack, now: datetime, *, should_retry: bool) -> Message:  # noqa: ARG001 - one form for all
    return CheckpointTask(now, hold=outcome.reason)


TERMINAL: dict[type[Outcome], Callable[..., Message | None]] = {
    Returned: _returned,
    Skipped: _skipped,
    Failed: _failed,
    Raised: _raised,
    Rescheduled: _rescheduled,
    Saved: _saved,
    HeldBack: _held_back,
    Interrupted: _interrupted,
}


def terminal(outcome: Outcome, now: datetime, *, should_retry: bool) -> Message | None:
    """Give the message that tells this outcome; None where the exit code is all there is to tell."""
    return TERMINAL[type(outcome)](outcome, now, should_retry=should_retry)
