"""What may follow what at the server: the one table, and nothing else.

A task instance is in one of the states of `protocol.states`; what happens to it is an `Event`. Every pair has its cell
in `_GRID`. A cell is a state to move to, or one of three marks:

    .   ignore: it is true and too late, as a timer whose wait is over already. Nothing is done, and nobody is told off.
    =   again: this is known already. Nothing changes, and the answer is a yes.
    !   conflict: it may not follow. Nothing changes, and the answer names the state in force.

What else a move does is its effects: those of the event, and those of the state it leads to. Who decides *which* event
it is (has the lost attempt a retry left, is there a checkpoint) is `server.engine`; who carries it out in one
transaction, with a line in the timeline, is `server.sql.transitions`.

Three things are worth knowing about the grid. A retry and a checkpoint *replace* the attempt at once, under a new id,
so that nothing the old one says later can fit; waits (reschedule, deferral, input) keep the id, as Airflow's clients
expect, and are told apart by the fence. `restarting` is a running attempt that was cleared: the next may begin only
when the old one is known to be gone, by its worker's word or by the end of its lease. A stop by a person is not in
the table until it is a kill: asking politely changes no state. And what is ended over its worker's head (killed,
marked, failed fast) is at its end at once, but its process is not: it *lingers* with its slot and its lease until it is
known to be gone, and when it is cleared before that it is `restarting`.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from protocol.states import FINISHED, TaskInstanceState


class Event(StrEnum):
    """What can happen to a task instance."""

    READY = "ready"
    """Its upstreams allow it."""
    SKIP = "skip"
    """Its trigger rule can no longer be met, or an upstream skipped it."""
    UPSTREAM_FAIL = "upstream_fail"
    UNMAPPABLE = "unmappable"
    """What it is mapped over is not a list, or too long a one."""
    UNMAP = "unmap"
    """It was cleared with what it is mapped over, which is shorter now."""
    REMAP = "remap"
    """And longer again."""

    CLAIM = "claim"
    CLAIM_OVER = "claim_over"
    RUN = "run"
    HEARTBEAT = "heartbeat"

    TOLD_SUCCESS = "told_success"
    TOLD_FAILED = "told_failed"
    TOLD_SKIPPED = "told_skipped"
    TOLD_REMOVED = "told_removed"
    TOLD_UPSTREAM_FAILED = "told_upstream_failed"
    TOLD_RETRY = "told_retry"
    TOLD_INTERRUPTED = "told_interrupted"
    """It was stopped from outside and wants another try that costs it none."""
    TOLD_RESCHEDULE = "told_reschedule"
    TOLD_DEFERRED = "told_deferred"
    TOLD_AWAITING = "told_awaiting"
    TOLD_CHECKPOINTED = "told_checkpointed"
    TOLD_TERMINATED = "told_terminated"
    """The worker stopped it because the server said so."""

    LOST_RETRY = "lost_retry"
    LOST_RESUME = "lost_resume"
    LOST_FAIL = "lost_fail"
    """Its lease ended without a heartbeat; which of the three is for the engine to say."""
    BUDGET_SPENT = "budget_spent"
    """It stopped on a checkpoint, and resuming has not helped often enough."""

    RETRY_DUE = "retry_due"
    RESCHEDULE_DUE = "reschedule_due"
    RESUME_DUE = "resume_due"
    WAIT_OVER = "wait_over"
    """A deferral or a question to people ran into its time-out."""
    FIRED = "fired"
    FIRED_SUCCESS = "fired_success"
    FIRED_FAILED = "fired_failed"
    FIRED_SKIPPED = "fired_skipped"
    ANSWERED = "answered"

    FAIL_FAST = "fail_fast"
    CLEAR = "clear"
    CLEAR_LINGERING = "clear_lingering"
    """It was ended over its worker's head, and its process may run still."""
    KILL = "kill"
    RESUME = "resume"
    MARK_SUCCESS = "mark_success"
    MARK_FAILED = "mark_failed"
    MARK_SKIPPED = "mark_skipped"


class Effect(StrEnum):
    """What a move does besides moving."""

    ARCHIVE = "archive"
    """The attempt is over and replaced: its record is kept under its id, and the instance gets a new one."""
    SPEND = "spend"
    """A try is used up."""
    LEASE = "lease"
    """The worker has it until a moment."""
    RELEASE = "release"
    """No worker has it any more: slot, claim and lease are free."""
    FORGET = "forget"
    """What it would have gone on with after a wait is forgotten."""
    QUEUE = "queue"
    """It is put in line, and those who wait for work are told."""
    ADVANCE = "advance"
    """Its run has to be looked at."""


class Mark(StrEnum):
    """A cell that is not a move."""

    IGNORE = "ignore"
    AGAIN = "again"
    CONFLICT = "conflict"


class Move(NamedTuple):
    """A cell that is one."""

    to: TaskInstanceState
    effects: frozenset[Effect]


Cell = Move | Mark

_S = TaskInstanceState
_E = Event

_STATES = {
    "sch": _S.SCHEDULED,
    "que": _S.QUEUED,
    "run": _S.RUNNING,
    "rst": _S.RESTARTING,
    "ret": _S.UP_FOR_RETRY,
    "rsc": _S.UP_FOR_RESCHEDULE,
    "def": _S.DEFERRED,
    "inp": _S.AWAITING_INPUT,
    "chk": _S.CHECKPOINTED,
    "suc": _S.SUCCESS,
    "fai": _S.FAILED,
    "ski": _S.SKIPPED,
    "upf": _S.UPSTREAM_FAILED,
    "rem": _S.REMOVED,
}

_MARKS = {".": Mark.IGNORE, "=": Mark.AGAIN, "!": Mark.CONFLICT}

_GRID = """
                      sch que run rst ret rsc def inp chk suc fai ski upf rem
ready                 que .   .   .   .   .   .   .   .   .   .   .   .   .
skip                  ski ski .   .   .   .   .   .   .   .   .   .   .   .
upstream_fail         upf .   .   .   .   .   .   .   .   .   .   .   .   .
unmappable            fai .   .   .   .   .   .   .   .   .   .   .   .   .
unmap                 rem .   .   .   .   .   .   .   .   .   .   .   .   .
remap                 .   .   .   .   .   .   .   .   .   .   .   .   .   sch

claim                 !   que !   !   !   !   !   !   !   !   !   !   !   !
claim_over            .   que .   .   .   .   .   .   .   .   .   .   .   .
run                   !   run =   !   !   !   !   !   !   !   !   !   !   !
heartbeat             !   !   run !   !   !   !   !   !   !   !   !   !   !

told_success          !   !   suc !   !   !   !   !   !   =   !   !   !   !
told_failed           !   !   fai !   !   !   !   !   !   !   =   !   !   !
told_skipped          !   !   ski !   !   !   !   !   !   !   !   =   !   !
told_removed          !   !   rem !   !   !   !   !   !   !   !   !   !   =
told_upstream_failed  !   !   upf !   !   !   !   !   !   !   !   !   =   !
told_retry            !   !   ret !   =   !   !   !   !   !   !   !   !   !
told_interrupted      !   !   ret !   =   !   !   !   !   !   !   !   !   !
told_reschedule       !   !   rsc !   !   =   !   !   !   !   !   !   !   !
told_deferred         !   !   def !   !   !   =   !   !   !   !   !   !   !
told_awaiting         !   !   inp !   !   !   !   =   !   !   !   !   !   !
told_checkpointed     !   !   chk !   !   !   !   !   =   !   !   !   !   !
told_terminated       .   .   !   sch .   .   .   .   .   =   =   =   =   =

lost_retry            .   .   ret sch .   .   .   .   .   .   .   .   .   .
lost_resume           .   .   chk sch .   .   .   .   .   .   .   .   .   .
lost_fail             .   .   fai sch .   .   .   .   .   .   .   .   .   .
budget_spent          !   !   fai !   !   !   !   !   !   !   =   !   !   !

retry_due             .   .   .   .   que .   .   .   .   .   .   .   .   .
reschedule_due        .   .   .   .   .   que .   .   .   .   .   .   .   .
resume_due            .   .   .   .   .   .   .   .   que .   .   .   .   .
wait_over             .   .   .   .   .   .   que que .   .   .   .   .   .
fired                 .   .   .   .   .   .   que .   .   .   .   .   .   .
fired_success         .   .   .   .   .   .   suc .   .   .   .   .   .   .
fired_failed          .   .   .   .   .   .   fai .   .   .   .   .   .   .
fired_skipped         .   .   .   .   .   .   ski .   .   .   .   .   .   .
answered              .   .   .   .   .   .   .   que .   .   .   .   .   .

fail_fast             ski ski fai fai fai fai ski fai fai .   .   .   .   .
clear                 =   sch rst =   sch sch sch sch sch sch sch sch sch sch
clear_lingering       .   .   .   .   .   .   .   .   .   rst rst rst .   .
kill                  fai fai fai fai fai fai fai fai fai !   =   !   !   !
resume                !   =   !   !   !   !   !   !   que !   !   !   !   !
mark_success          suc suc suc suc suc suc suc suc suc =   suc suc suc suc
mark_failed           fai fai fai fai fai fai fai fai fai fai =   fai fai fai
mark_skipped          ski ski ski ski ski ski ski ski ski ski ski =   ski ski
"""

_REPLACED = frozenset({Effect.ARCHIVE, Effect.FORGET})

_EFFECTS_OF_EVENT: dict[Event, frozenset[Effect]] = {
    _E.CLAIM: frozenset({Effect.LEASE}),
    _E.RUN: frozenset({Effect.LEASE}),
    _E.HEARTBEAT: frozenset({Effect.LEASE}),
    _E.TOLD_RETRY: _REPLACED | {Effect.SPEND},
    _E.TOLD_INTERRUPTED: _REPLACED,
    _E.TOLD_CHECKPOINTED: _REPLACED,
    _E.LOST_RETRY: _REPLACED | {Effect.SPEND},
    _E.LOST_RESUME: _REPLACED,
}
"""Of the events not named here, a move has the effects of the state it leads to, and no others."""

_EFFECTS_OF_STATE: dict[TaskInstanceState, frozenset[Effect]] = {
    _S.SCHEDULED: _REPLACED | {Effect.RELEASE, Effect.ADVANCE},
    _S.QUEUED: frozenset({Effect.RELEASE, Effect.QUEUE}),
    _S.RUNNING: frozenset(),
    _S.RESTARTING: frozenset(),
    _S.UP_FOR_RETRY: frozenset({Effect.RELEASE}),
    _S.UP_FOR_RESCHEDULE: frozenset({Effect.RELEASE}),
    _S.DEFERRED: frozenset({Effect.RELEASE}),
    _S.AWAITING_INPUT: frozenset({Effect.RELEASE}),
    _S.CHECKPOINTED: frozenset({Effect.RELEASE}),
} | dict.fromkeys(FINISHED, frozenset({Effect.RELEASE, Effect.FORGET, Effect.ADVANCE}))


_OVER_ITS_HEAD = frozenset({_E.FAIL_FAST, _E.KILL, _E.MARK_SUCCESS, _E.MARK_FAILED, _E.MARK_SKIPPED})
_WITH_A_PROCESS = frozenset({_S.RUNNING, _S.RESTARTING})


def _effects(state: TaskInstanceState, event: Event, to: TaskInstanceState) -> frozenset[Effect]:
    """Join both; a claim is the one move into `queued` that takes it out of the line and not into it."""
    both = _EFFECTS_OF_EVENT.get(event, frozenset()) | _EFFECTS_OF_STATE[to]
    if event is _E.CLAIM:
        return both - {Effect.RELEASE, Effect.QUEUE}
    if event in _OVER_ITS_HEAD and state in _WITH_A_PROCESS:
        return both - {Effect.RELEASE}
    if to is _S.SCHEDULED:
        return both - {Effect.SPEND}
    return both


def _table() -> dict[tuple[TaskInstanceState, Event], Cell]:
    lines = [line.split() for line in _GRID.splitlines() if line]
    columns = [_STATES[name] for name in lines[0]]
    table: dict[tuple[TaskInstanceState, Event], Cell] = {}
    for name, *codes in lines[1:]:
        event = Event(name)
        for state, code in zip(columns, codes, strict=True):
            to = _STATES.get(code)
            table[state, event] = _MARKS[code] if to is None else Move(to, _effects(state, event, to))
    return table


TABLE = _table()


def follow(state: TaskInstanceState, event: Event) -> Cell:
    """Give the cell."""
    return TABLE[state, event]


@cache
def sources(event: Event) -> Mapping[TaskInstanceState, Move]:
    """Give the states this event moves from, for what is done to many instances with one statement."""
    return {state: cell for (state, one), cell in TABLE.items() if one is event and isinstance(cell, Move)}


def draw() -> str:
    """Give the table as a page, for docs/server-states.md."""
    states = list(_STATES.values())
    signs = {Mark.IGNORE: "·", Mark.AGAIN: "=", Mark.CONFLICT: "✗"}
    lines = [
        "# What may follow what at the server",
        "",
        "Drawn from `server/rules.py`; a test keeps it fresh. Rows are events, columns the state in force. A cell is",
        "the state that follows; `·` ignores, `=` is known already, `✗` is a conflict.",
        "",
        "| event | " + " | ".join(states) + " | also does |",
        "|---" * (len(states) + 2) + "|",
    ]
    for event in Event:
        cells = [TABLE[state, event] for state in states]
        texts = [cell.to if isinstance(cell, Move) else signs[cell] for cell in cells]
        effects = sorted({effect for cell in cells if isinstance(cell, Move) for effect in cell.effects})
        lines.append(f"| **{event}** | {' | '.join(texts)} | {', '.join(effects)} |")
    return "\n".join(lines) + "\n"
