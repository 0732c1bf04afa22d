"""What is said to the server about an end: the body of `PATCH /task-instances/{id}/state`.

Only what was set is said. Airflow's servers refuse keys they do not know, and an older one knows fewer; our own takes
the kind of a failure besides (`extended`).
"""

from datetime import datetime
from typing import Any

from msgspec import structs

from protocol.messages.checkpoints import StopReason
from protocol.messages.control import ErrorResponse, ErrorType
from protocol.messages.outcomes import RescheduleTask, TaskState
from protocol.messages.shape import Message
from protocol.states import TaskInstanceState
from supervisor.outcome import Tell, Verdict

REASON_CAP = 500
Body = dict[str, Any]

_WITH_KIND = frozenset({Tell.FAILED, Tell.RETRY, Tell.RESCHEDULE})
_MEANT = frozenset({StopReason.TIMEOUT, StopReason.USER_KILL})
_STATES: dict[Tell, TaskInstanceState] = {
    Tell.SUCCESS: TaskInstanceState.SUCCESS,
    Tell.FAILED: TaskInstanceState.FAILED,
    Tell.RETRY: TaskInstanceState.UP_FOR_RETRY,
    Tell.SKIPPED: TaskInstanceState.SKIPPED,
    Tell.CHECKPOINTED: TaskInstanceState.CHECKPOINTED,
}


def state_of(message: Message, reason: StopReason | None, *, extended: bool, retries_left: bool) -> TaskInstanceState:
    """Give the state that a terminal message comes to.

    A task that stops on a checkpoint because its time was over, or a person ended it, is held by a server of ours.
    Airflow's can only put it back into the queue, to run into the same time-out for ever: there it has failed.
    """
    state = TaskInstanceState(getattr(message, "state"))  # noqa: B009 - every terminal message has one
    if state is not TaskInstanceState.CHECKPOINTED or extended or reason not in _MEANT:
        return state
    again = retries_left and reason is StopReason.TIMEOUT
    return TaskInstanceState.UP_FOR_RETRY if again else TaskInstanceState.FAILED


def said(  # noqa: PLR0913 - what is known of it
    message: Message,
    state: TaskInstanceState,
    now: datetime,
    *,
    reason: StopReason | None = None,
    why: str | None = None,
    extended: bool,
) -> Body:
    """Give the body for the task's own word. Why it was stopped we know better than it, which may not have asked.

    `why` is what it gave as its reason besides: for the word that has no room for one.
    """
    if state is TaskInstanceState.CHECKPOINTED and not extended:
        return reschedule(now)
    if state != getattr(message, "state"):  # noqa: B009 - as above
        return {"state": state, "end_date": now}
    body = {key: value for key, value in structs.asdict(message).items() if value is not None}
    if state is TaskInstanceState.CHECKPOINTED and reason is not None:
        body["reason"] = reason
    if isinstance(message, RescheduleTask) and extended and why:
        body["retry_reason"] = why[:REASON_CAP]
    if isinstance(message, TaskState):
        body.setdefault("end_date", now)
        if not extended:
            body.pop("retry_reason", None)
    return body


def verdict(found: Verdict, now: datetime, *, why: str, reason: StopReason | None, extended: bool) -> Body:
    """Give the body for our own verdict."""
    tell = found.tell
    if tell is Tell.CHECKPOINTED and not extended:
        return reschedule(now)
    body: Body = reschedule(now) if tell is Tell.RESCHEDULE else {"state": _STATES[tell], "end_date": now}
    if tell is Tell.CHECKPOINTED and reason is not None:
        body["reason"] = reason
    if extended and tell in _WITH_KIND:
        body["kind"] = found.kind
        body["retry_reason"] = why[:REASON_CAP]
    return body


def reschedule(now: datetime) -> Body:
    """Back to the queue at once, without spending a retry: what every server can express."""
    return {"state": TaskInstanceState.UP_FOR_RESCHEDULE, "reschedule_date": now, "end_date": now}


def too_late(state: TaskInstanceState, said: TaskInstanceState | None) -> ErrorResponse:
    """Give the answer to a further terminal message: the first one stands."""
    text = f"this attempt ends as {said or 'the server said'}: {state} comes too late"
    return ErrorResponse(ErrorType.GENERIC_ERROR, {"status_code": 409, "message": text, "detail": None})
