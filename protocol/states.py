"""The states of a task instance and of a conversation, and what may follow what.

Two tables, complete: every state has its row, and doing nothing is written down. `docs/states.md` is drawn from them.

A **task instance** lives on the server. `checkpointed` is Taskhand's own: unfinished, so trigger rules wait; resumed
without spending a retry. Clearing and marking by hand may move any instance anywhere and are not in the table.

A **conversation** has two ends, each with its own view. Either end may see the stream close or break at any time, and
after that nothing it hears counts. What the peer may not do is the peer's fault and breaks the conversation; what we
may not do is ours and raises.
"""

from enum import StrEnum


class TaskInstanceState(StrEnum):
    """Where a task instance is."""

    REMOVED = "removed"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    RESTARTING = "restarting"
    FAILED = "failed"
    UP_FOR_RETRY = "up_for_retry"
    UP_FOR_RESCHEDULE = "up_for_reschedule"
    UPSTREAM_FAILED = "upstream_failed"
    SKIPPED = "skipped"
    DEFERRED = "deferred"
    AWAITING_INPUT = "awaiting_input"
    CHECKPOINTED = "checkpointed"


_S = TaskInstanceState

FINISHED = frozenset({_S.SUCCESS, _S.FAILED, _S.SKIPPED, _S.UPSTREAM_FAILED, _S.REMOVED})
"""Downstream trigger rules look at these; every other state makes them wait."""

FOLLOWS: dict[TaskInstanceState, frozenset[TaskInstanceState]] = {
    _S.SCHEDULED: frozenset({_S.QUEUED, _S.SKIPPED, _S.UPSTREAM_FAILED, _S.REMOVED, _S.FAILED}),
    _S.QUEUED: frozenset({_S.RUNNING, _S.SCHEDULED, _S.FAILED, _S.UP_FOR_RETRY, _S.SKIPPED, _S.REMOVED}),
    _S.RUNNING: frozenset(
        {
            _S.SUCCESS,
            _S.FAILED,
            _S.SKIPPED,
            _S.REMOVED,
            _S.UP_FOR_RETRY,
            _S.UP_FOR_RESCHEDULE,
            _S.DEFERRED,
            _S.AWAITING_INPUT,
            _S.CHECKPOINTED,
            _S.RESTARTING,
            _S.SCHEDULED,
        }
    ),
    _S.RESTARTING: frozenset({_S.UP_FOR_RETRY, _S.FAILED, _S.RUNNING, _S.SCHEDULED}),
    _S.UP_FOR_RETRY: frozenset({_S.SCHEDULED, _S.QUEUED, _S.FAILED, _S.REMOVED}),
    _S.UP_FOR_RESCHEDULE: frozenset({_S.SCHEDULED, _S.QUEUED, _S.FAILED, _S.REMOVED}),
    _S.DEFERRED: frozenset({_S.SCHEDULED, _S.QUEUED, _S.SUCCESS, _S.FAILED, _S.SKIPPED, _S.REMOVED}),
    _S.AWAITING_INPUT: frozenset({_S.SCHEDULED, _S.QUEUED, _S.FAILED, _S.REMOVED}),
    _S.CHECKPOINTED: frozenset({_S.SCHEDULED, _S.QUEUED, _S.FAILED, _S.REMOVED}),
    _S.SUCCESS: frozenset(),
    _S.FAILED: frozenset(),
    _S.SKIPPED: frozenset(),
    _S.UPSTREAM_FAILED: frozenset(),
    _S.REMOVED: frozenset(),
}


class Talk(StrEnum):
    """Where a conversation is, as one end sees it."""

    # Looked up once per frame; an enum's own hash is a Python function.
    __hash__ = str.__hash__

    UNGREETED = "ungreeted"
    TALKING = "talking"
    CLOSED = "closed"
    BROKEN = "broken"


class Turn(StrEnum):
    """What happens in a conversation."""

    __hash__ = str.__hash__

    GREETING = "greeting"
    QUESTION = "question"
    ANSWER = "answer"
    END = "end"
    FAULT = "fault"


class Verdict(StrEnum):
    """What a turn means when it is not a move to a state."""

    OUR_FAULT = "our fault"
    """We tried what this state does not allow: `LocalProtocolError`."""
    THEIR_FAULT = "their fault"
    """The peer did: the conversation breaks."""
    IGNORE = "ignore"


Table = dict[Talk, dict[Turn, Talk | Verdict]]

_OVER: dict[Turn, Talk | Verdict] = {
    Turn.GREETING: Verdict.IGNORE,
    Turn.QUESTION: Verdict.IGNORE,
    Turn.ANSWER: Verdict.IGNORE,
    Turn.END: Verdict.IGNORE,
    Turn.FAULT: Verdict.IGNORE,
}

SUPERVISOR_END: Table = {
    Talk.UNGREETED: {
        Turn.GREETING: Talk.TALKING,
        Turn.QUESTION: Verdict.THEIR_FAULT,
        Turn.ANSWER: Verdict.OUR_FAULT,
        Turn.END: Talk.CLOSED,
        Turn.FAULT: Talk.BROKEN,
    },
    Talk.TALKING: {
        Turn.GREETING: Verdict.OUR_FAULT,
        Turn.QUESTION: Talk.TALKING,
        Turn.ANSWER: Talk.TALKING,
        Turn.END: Talk.CLOSED,
        Turn.FAULT: Talk.BROKEN,
    },
    Talk.CLOSED: _OVER | {Turn.GREETING: Verdict.OUR_FAULT},
    Talk.BROKEN: _OVER | {Turn.GREETING: Verdict.OUR_FAULT},
}
"""The supervisor greets and answers. An answer to a child that is gone is not an error: nobody is there to get it."""

RUNNER_END: Table = {
    Talk.UNGREETED: {
        Turn.GREETING: Talk.TALKING,
        Turn.QUESTION: Verdict.OUR_FAULT,
        Turn.ANSWER: Verdict.THEIR_FAULT,
        Turn.END: Talk.CLOSED,
        Turn.FAULT: Talk.BROKEN,
    },
    Talk.TALKING: {
        Turn.GREETING: Verdict.THEIR_FAULT,
        Turn.QUESTION: Talk.TALKING,
        Turn.ANSWER: Talk.TALKING,
        Turn.END: Talk.CLOSED,
        Turn.FAULT: Talk.BROKEN,
    },
    Talk.CLOSED: _OVER | {Turn.QUESTION: Verdict.OUR_FAULT},
    Talk.BROKEN: _OVER | {Turn.QUESTION: Verdict.OUR_FAULT},
}
"""The runner is greeted and asks. A question after the end is ours to know better than to ask."""
