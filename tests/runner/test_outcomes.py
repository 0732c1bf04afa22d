from datetime import timedelta

import pytest

from protocol.messages.checkpoints import CheckpointTask, StopReason
from protocol.messages.outcomes import RescheduleTask, RetryTask, SucceedTask, TaskState
from protocol.messages.shape import Message
from protocol.vocabulary import TERMINAL as TERMINAL_MESSAGES
from runner.outcomes import (
    LONGEST_REASON,
    RAISED,
    TERMINAL,
    Checkpointed,
    Exit,
    Fail,
    Failed,
    Held,
    HeldBack,
    Interrupted,
    Outcome,
    Raised,
    Reschedule,
    Rescheduled,
    Retry,
    Returned,
    Saved,
    Skip,
    Skipped,
    Stop,
    Stopped,
    TaskInterrupted,
    outcome_of,
    reason_of,
    terminal,
)
from tests.runner.samples import NOW

AT_SAVE = Stop(StopReason.DRAIN, on_record=True, at_save=True)
DRAIN = Stop(StopReason.DRAIN)
SAVED = Stop(StopReason.EVICT, on_record=True)
LATER = NOW + timedelta(minutes=5)


def after(cause: BaseException, error: BaseException) -> BaseException:
    """Give an error as it is when it was raised in the clean-up of another."""
    error.__context__ = cause
    return error


def circle() -> BaseException:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    return one


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("error", "stop", "outcome"),
    [
        (Skip("not today"), Stop(), Skipped()),
        (Fail("wrong data"), Stop(), Failed("wrong data")),
        (Fail(), Stop(), Failed("Fail")),
        (Retry("busy", after=30), Stop(), Raised("busy", 30.0)),
        (Retry("busy", after=timedelta(minutes=1)), Stop(), Raised("busy", 60.0)),
        (Retry(after=-3), Stop(), Raised("Retry", 0.0)),
        (Retry("busy"), Stop(), Raised("busy", None)),
        (Reschedule(at=LATER), Stop(), Rescheduled(LATER)),
        (Reschedule("no file", after=300), Stop(), Rescheduled(LATER, "no file")),
        (Reschedule(after=timedelta()), Stop(), Rescheduled(NOW)),
        (Reschedule(after=1e12), Stop(), Raised("Reschedule: OverflowError: date value out of range")),
        (Reschedule(after=float("nan")), Stop(), Rescheduled(NOW)),
        (Checkpointed(), SAVED, Saved(SAVED)),
        (Held("the code changed"), SAVED, HeldBack("the code changed")),
        (TaskInterrupted(), DRAIN, Interrupted(DRAIN)),
        (ValueError("bad"), Stop(), Raised("ValueError: bad")),
        (SystemExit(0), Stop(), Raised("SystemExit: 0")),
        (SystemExit(), Stop(), Raised("SystemExit")),
        (KeyboardInterrupt(), DRAIN, Raised("KeyboardInterrupt")),
        # What a stop led to is the stop
        (after(TaskInterrupted(), OSError("closed")), DRAIN, Interrupted(DRAIN)),
        (after(after(Checkpointed(), KeyError(1)), OSError("closed")), SAVED, Saved(SAVED)),
        (BaseExceptionGroup("tasks", [ValueError("x"), Checkpointed()]), SAVED, Saved(SAVED)),
        (BaseExceptionGroup("g", [BaseExceptionGroup("h", [TaskInterrupted()])]), DRAIN, Interrupted(DRAIN)),
        (after(TaskInterrupted(), Fail("no")), DRAIN, Failed("no")),
        (after(ValueError("x"), TaskInterrupted()), DRAIN, Interrupted(DRAIN)),
        (circle(), DRAIN, Raised("ValueError: one")),
        # A save stopped it, in a thread that nobody asked how it ended
        (KeyError("no result"), AT_SAVE, Saved(AT_SAVE)),
        (Skip(), AT_SAVE, Skipped()),
        # The only one of a group is what was raised
        (ExceptionGroup("tasks", [Skip("not today")]), Stop(), Skipped()),
        (ExceptionGroup("g", [ExceptionGroup("h", [ValueError("bad")])]), Stop(), Raised("ValueError: bad")),
        (ExceptionGroup("g", [Skip(), ValueError()]), Stop(), Raised("ExceptionGroup: g (2 sub-exceptions)")),
        (Unprintable(), Stop(), Raised("Unprintable: <Unprintable, which cannot be shown>")),
    ],
)
def test_what_is_raised_is_an_outcome(error: BaseException, stop: Stop, outcome: Outcome) -> None:
    assert outcome_of(error, NOW, stop) == outcome


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Returned(), SucceedTask(NOW, task_outlets=[], outlet_events=[])),
        (Skipped(), TaskState("skipped", NOW)),
        (Failed("wrong"), TaskState("failed", NOW, retry_reason="wrong")),
        (Rescheduled(LATER), RescheduleTask(LATER, NOW)),
        (Saved(SAVED), CheckpointTask(NOW, reason=StopReason.EVICT)),
        (HeldBack("the code changed"), CheckpointTask(NOW, hold="the code changed")),
        (Interrupted(SAVED), CheckpointTask(NOW, reason=StopReason.EVICT)),
        (Interrupted(Stop(None, on_record=True)), CheckpointTask(NOW)),
        (Interrupted(DRAIN), None),
    ],
)
@pytest.mark.parametrize("should_retry", [True, False])
def test_each_outcome_is_told_in_one_way(outcome: Outcome, told: Message | None, *, should_retry: bool) -> None:
    assert terminal(outcome, NOW, should_retry=should_retry) == told


@pytest.mark.parametrize(
    ("outcome", "reason", "after"),
    [
        (Raised("busy", 30.0), "busy", 30.0),
        (Raised("bad"), "bad", None),
        (Interrupted(Stop()), "the task was interrupted by a signal", None),
    ],
)
def test_a_failure_is_tried_again_when_the_server_said_so(outcome: Outcome, reason: str, after: float | None) -> None:
    retry = RetryTask(NOW, retry_delay_seconds=after, retry_reason=reason)
    assert terminal(outcome, NOW, should_retry=True) == retry
    assert terminal(outcome, NOW, should_retry=False) == TaskState("failed", NOW, retry_reason=reason)


def test_every_outcome_has_its_row() -> None:
    assert set(TERMINAL) == set(Outcome.__subclasses__())


def test_what_fits_no_other_row_fits_the_last() -> None:
    assert RAISED[-1][0] is BaseException


def test_only_terminal_messages_are_told() -> None:
    told = [
        terminal(outcome, NOW, should_retry=retry)
        for outcome in [
            Returned(),
            Skipped(),
            Failed(""),
            Raised(""),
            Rescheduled(NOW),
            Saved(SAVED),
            Interrupted(SAVED),
        ]
        for retry in (True, False)
    ]
    assert {type(message) for message in told} <= TERMINAL_MESSAGES


def test_a_stop_is_not_an_exception_that_a_task_may_catch_by_chance() -> None:
    assert not issubclass(Stopped, Exception)


@pytest.mark.parametrize("code", list(Exit))
def test_no_exit_code_of_ours_means_something_in_the_contract_of_plain_programs(code: Exit) -> None:
    assert code not in {75, 85, 99}


def test_only_what_was_told_exits_with_zero() -> None:
    assert [code for code in Exit if code == 0] == [Exit.TOLD]


def test_a_reason_is_as_short_as_the_server_keeps_it_and_can_be_encoded() -> None:
    reason = reason_of(ValueError("\ud800" * 1000))
    assert len(reason) == LONGEST_REASON
    assert reason.encode()


def test_a_reschedule_has_one_moment() -> None:
    with pytest.raises(ValueError, match="a moment or a time"):
        Reschedule()
    with pytest.raises(ValueError, match="a moment or a time"):
        Reschedule(at=NOW, after=3)


def test_a_reschedule_without_a_time_zone_is_not_a_moment() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Reschedule(at=NOW.replace(tzinfo=None))
