from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from protocol.http.instances import TIEnd
from protocol.messages.checkpoints import CheckpointTask, StopReason
from protocol.messages.outcomes import (
    AwaitInputTask,
    DeferTask,
    RescheduleTask,
    RetryTask,
    SucceedTask,
    TaskState,
)
from protocol.messages.shape import Message
from protocol.states import TaskInstanceState
from protocol.values import encode_json
from supervisor.outcome import ROWS, FailureKind, Outcome, Tell, Verdict
from supervisor.telling import REASON_CAP, Body, said, state_of, too_late, verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 2, tzinfo=UTC)
MESSAGES: list[Message] = [
    SucceedTask(LATER, rendered_map_index="x"),
    TaskState("failed", LATER),
    TaskState("skipped"),
    TaskState("removed", LATER),
    TaskState("checkpointed", LATER),
    RetryTask(LATER, retry_delay_seconds=3.0, retry_reason="later"),
    RescheduleTask(LATER, LATER),
    DeferTask("a.B", "resume", trigger_kwargs={"a": 1}),
    AwaitInputTask("resume"),
    CheckpointTask(LATER, data={"a": 1}, reason=StopReason.DRAIN),
]


def spoken(message: Message, **more: Any) -> Body:
    """Give what is said of a message whose state stands."""
    return said(message, TaskInstanceState(getattr(message, "state")), NOW, **more)  # noqa: B009 - all of them have one


def accepted(body: Body) -> TIEnd:
    """Our own server's reading, which refuses a key too many as Airflow's does."""
    found: TIEnd = msgspec.json.decode(encode_json(body), type=TIEnd)
    return found


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: f"{type(message).__name__}-{message.state}")
def test_every_word_becomes_a_body_that_a_server_of_ours_takes(message: Message) -> None:
    body = spoken(message, extended=True)
    assert None not in body.values()
    accepted(body)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: f"{type(message).__name__}-{message.state}")
def test_airflow_is_told_only_of_states_it_knows(message: Message) -> None:
    body = spoken(message, extended=False)
    accepted(body)
    assert body["state"] != "checkpointed"
    assert "kind" not in body


def test_an_end_without_a_date_gets_one() -> None:
    assert spoken(TaskState("skipped"), extended=False)["end_date"] == NOW
    assert spoken(TaskState("failed", LATER, retry_reason="x"), extended=True)["retry_reason"] == "x"
    assert "retry_reason" not in spoken(TaskState("failed", LATER, retry_reason="x"), extended=False)


def test_why_it_is_not_ready_is_said_to_a_server_of_ours_alone() -> None:
    word = RescheduleTask(LATER, LATER)
    body = spoken(word, why="no file yet" + "." * REASON_CAP, extended=True)
    assert body["retry_reason"] == ("no file yet" + "." * REASON_CAP)[:REASON_CAP]
    accepted(body)
    assert spoken(word, why="no file yet", extended=False) == spoken(word, extended=False)
    assert "retry_reason" not in spoken(word, extended=True)
    assert "retry_reason" not in spoken(DeferTask("a.B", "resume"), why="no file yet", extended=True)


def test_a_checkpoint_is_a_reschedule_to_airflow() -> None:
    body = spoken(CheckpointTask(LATER), extended=False)
    assert body == {"state": "up_for_reschedule", "reschedule_date": NOW, "end_date": NOW}


@pytest.mark.parametrize("message", [CheckpointTask(LATER), TaskState("checkpointed", LATER)])
def test_why_it_was_stopped_is_told_for_a_task_that_does_not_know(message: Message) -> None:
    assert spoken(message, reason=StopReason.TIMEOUT, extended=True)["reason"] == "timeout"
    assert "reason" not in spoken(message, reason=StopReason.TIMEOUT, extended=False)
    assert "reason" not in spoken(SucceedTask(LATER), reason=StopReason.TIMEOUT, extended=True)


@pytest.mark.parametrize(
    ("reason", "retries_left", "extended", "state"),
    [
        (StopReason.TIMEOUT, True, False, "up_for_retry"),
        (StopReason.TIMEOUT, False, False, "failed"),
        (StopReason.USER_KILL, True, False, "failed"),
        (StopReason.TIMEOUT, True, True, "checkpointed"),
        (StopReason.DRAIN, True, False, "checkpointed"),
        (None, True, False, "checkpointed"),
    ],
)
def test_a_stop_that_was_meant_is_no_reschedule_to_airflow(
    reason: StopReason | None,
    retries_left: bool,  # noqa: FBT001 - parameters of pytest's
    extended: bool,  # noqa: FBT001 - as above
    state: str,
) -> None:
    """It would run into its time-out again, for ever; of ours it is held."""
    found = state_of(CheckpointTask(LATER), reason, extended=extended, retries_left=retries_left)
    assert found == state
    if not extended and state != "checkpointed":
        assert said(CheckpointTask(LATER, data={"step": 1}), found, NOW, extended=False) == {
            "state": state,
            "end_date": NOW,
        }
    assert state_of(SucceedTask(LATER), reason, extended=extended, retries_left=retries_left) == "success"


@pytest.mark.parametrize(("before", "words"), [(TaskInstanceState.FAILED, "failed"), (None, "the server said")])
def test_a_further_word_hears_that_it_comes_too_late(before: TaskInstanceState | None, words: str) -> None:
    answer = too_late(TaskInstanceState.SUCCESS, before)
    assert answer.detail is not None
    assert answer.detail["message"] == f"this attempt ends as {words}: success comes too late"


TOLD: dict[Tell, Verdict] = {
    row.verdict.tell: row.verdict for row in ROWS if row.verdict.tell not in {Tell.NOTHING, Tell.MESSAGE}
}


@pytest.mark.parametrize("tell", TOLD)
@pytest.mark.parametrize("extended", [True, False])
def test_every_verdict_becomes_a_body(tell: Tell, extended: bool) -> None:  # noqa: FBT001 - pytest gives it by position
    body = verdict(TOLD[tell], NOW, why="exit 5", reason=StopReason.DRAIN, extended=extended)
    accepted(body)
    assert ("kind" in body) == (extended and tell in {Tell.FAILED, Tell.RETRY, Tell.RESCHEDULE})
    assert extended or body["state"] != "checkpointed"


def test_the_reason_is_told_as_far_as_it_fits() -> None:
    found = Verdict("code", Outcome.FAILED, FailureKind.APP, Tell.FAILED)
    body = verdict(found, NOW, why="x" * 1000, reason=None, extended=True)
    assert (len(body["retry_reason"]), body["kind"]) == (REASON_CAP, "app")


def test_a_checkpoint_says_why_it_was_taken_if_that_is_known() -> None:
    found = TOLD[Tell.CHECKPOINTED]
    assert "reason" not in verdict(found, NOW, why="", reason=None, extended=True)
    assert verdict(found, NOW, why="", reason=StopReason.EVICT, extended=True)["reason"] == "evict"
