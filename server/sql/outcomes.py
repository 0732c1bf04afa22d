"""`/state`: what an attempt came to, and what is done about it.

An outcome is told once and may be repeated: the answer to the first may have been lost. So each is remembered with the
fence it was told under: on the instance while the attempt is its current one, in the archive when it was replaced. The
same word under the same fence is `AGAIN` whatever has happened since; only then is the table asked.
"""

from datetime import datetime, timedelta
from typing import assert_never

from protocol.flows import TaskSpec
from protocol.messages.shape import Json
from protocol.states import TaskInstanceState
from server.engine import hold as held_back
from server.engine import resume, retry_at
from server.faults import Archived, Conflict
from server.outcomes import (
    AwaitingInput,
    Checkpointed,
    Deferred,
    Ended,
    Outcome,
    Rescheduled,
    Retried,
    ServerTerminated,
)
from server.records import Applied, FailureKind
from server.rules import Event
from server.sql.assets import register_outlets
from server.sql.checkpoints import put_checkpoint
from server.sql.clearing import columns_of_next_try
from server.sql.part import Limits, Part
from server.sql.questions import find_question, go_on_with_answer
from server.sql.resuming import columns_after_failure, columns_of, standing
from server.sql.rows import micros, pack
from server.sql.transaction import Transaction, Value, writes
from server.sql.transitions import Held, Sets, Turn, happen, hold, let_go

S = TaskInstanceState

_ENDS = {
    S.SUCCESS: Event.TOLD_SUCCESS,
    S.FAILED: Event.TOLD_FAILED,
    S.SKIPPED: Event.TOLD_SKIPPED,
    S.REMOVED: Event.TOLD_REMOVED,
    S.UPSTREAM_FAILED: Event.TOLD_UPSTREAM_FAILED,
}

INTERRUPTIONS = frozenset({FailureKind.EVICTED, FailureKind.FENCED})
"""Ends that were done to the attempt: the next try costs none."""

_REASON_LENGTH = 500


class Outcomes(Part):
    """Taking outcomes."""

    @writes
    def finish(
        self, tx: Transaction, ti_id: str, outcome: Outcome, now: datetime, *, fence: int | None = None
    ) -> Applied:
        """`/state`. The same outcome told again is `AGAIN`, also by an attempt that was replaced because of it."""
        word = _word(outcome)
        try:
            held = hold(tx, ti_id)
        except Archived:
            if tx.row("SELECT 1 FROM attempts WHERE id = ? AND told = ?", ti_id, word) is None:
                raise
            return Applied.AGAIN
        it = held.instance
        told = f"{it.fence if fence is None else fence}:{word}"
        if held.told == told:
            return Applied.AGAIN
        if fence is not None and fence != it.fence:
            message = f"claim {fence} is over; {it.fence} is in force"
            raise Conflict("invalid_state", message, previous_state=it.state.value)
        task = self.graphs.get(tx, held.graph).task(it.task_id)
        return _Taking(tx, held, task, now, told, self.limits).take(outcome)


class _Taking:
    """One outcome being taken: what all kinds of it need."""

    def __init__(self, tx: Transaction, held: Held, task: TaskSpec, now: datetime, told: str, limits: Limits) -> None:
        self.tx = tx
        self.held = held
        self.task = task
        self.now = now
        self.told = told
        self.limits = limits

    def take(self, outcome: Outcome) -> Applied:
        """Take an outcome of any kind."""
        match outcome:
            case Ended():
                applied = self.ended(outcome)
            case Retried():
                applied = self.retried(outcome)
            case Rescheduled():
                applied = self.rescheduled(outcome)
            case Deferred():
                applied = self.deferred(outcome)
            case AwaitingInput():
                applied = self.awaiting(outcome)
            case Checkpointed():
                applied = self.checkpointed(outcome)
            case ServerTerminated():
                applied = self.terminated(outcome)
            case _:
                assert_never(outcome)
        return applied

    def happen(self, event: Event, why: str, sets: Sets, **detail: Json) -> Applied:
        """Let it happen, and remember that it was told."""
        given = {name: value for name, value in detail.items() if value is not None}
        turn = Turn(event, self.now, why, {"told": self.told, **sets}, given or None)
        applied = happen(self.tx, self.held, turn)
        if applied is Applied.AGAIN:  # it was ended over its worker's head, as it has ended now by itself
            let_go(self.tx, self.held, turn)
        return applied

    def ended(self, outcome: Ended) -> Applied:
        """It is over."""
        kind = outcome.kind or (FailureKind.APP if outcome.state is S.FAILED else None)
        sets: dict[str, Value] = {
            "end_date": micros(outcome.end_date),
            "kind": kind,
            "reason": _cut(outcome.reason),
            **_label(outcome.rendered_map_index),
        }
        why = outcome.reason or f"it said {outcome.state}"
        applied = self.happen(_ENDS[outcome.state], why, sets, kind=kind)
        if applied is Applied.NEW:
            register_outlets(self.tx, self.held.instance, outcome.outlets, self.now)
        return applied

    def retried(self, outcome: Retried) -> Applied:
        """It failed and wants another try."""
        interrupted = outcome.kind in INTERRUPTIONS
        delay = outcome.retry_delay_seconds
        due = retry_at(self.task, self.now, 0.0 if interrupted and delay is None else delay)
        kind = outcome.kind or FailureKind.APP
        sets: dict[str, Value] = {
            "end_date": micros(outcome.end_date),
            "kind": kind,
            "reason": _cut(outcome.retry_reason),
            "due": micros(due),
            **_label(outcome.rendered_map_index),
            **columns_after_failure(self.tx, self.held, self.task),
        }
        event = Event.TOLD_INTERRUPTED if interrupted else Event.TOLD_RETRY
        return self.happen(event, outcome.retry_reason or "it wants another try", sets, kind=kind, due=due)

    def rescheduled(self, outcome: Rescheduled) -> Applied:
        """It wants to be run again at a moment."""
        it = self.held.instance
        sets: dict[str, Value] = {"end_date": micros(outcome.end_date), "due": micros(outcome.reschedule_date)}
        why = outcome.reason or "it was not ready"
        applied = self.happen(Event.TOLD_RESCHEDULE, why, sets, kind=outcome.kind, due=outcome.reschedule_date)
        if applied is Applied.NEW:
            self.tx.run(
                "INSERT INTO reschedules (instance_key, try_number, start_date, reschedule_date) VALUES (?, ?, ?, ?)",
                it.key,
                it.try_number,
                micros(self.now),
                micros(outcome.reschedule_date),
            )
        return applied

    def deferred(self, outcome: Deferred) -> Applied:
        """It waits for a trigger."""
        it = self.held.instance
        due = self._after(outcome.trigger_timeout)
        kwargs = outcome.trigger_kwargs
        row = self.tx.row(
            "INSERT INTO triggers (instance_key, classpath, kwargs, timeout_after, created, queue) "
            "VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            it.key,
            outcome.classpath,
            kwargs if isinstance(kwargs, str) else pack(kwargs or {}),
            due,
            micros(self.now),
            outcome.queue or it.queue,
        )
        sets: dict[str, Value] = {
            "trigger_id": row[0] if row else None,
            "next_method": outcome.next_method,
            "next_kwargs": pack(outcome.next_kwargs or {}),
            "due": due,
            **_label(outcome.rendered_map_index),
        }
        why = f"it waits for {outcome.classpath}"
        applied = self.happen(Event.TOLD_DEFERRED, why, sets, timeout=outcome.trigger_timeout)
        if applied is Applied.AGAIN:
            self.tx.run("DELETE FROM triggers WHERE id = ?", row[0] if row else None)
        return applied

    def awaiting(self, outcome: AwaitingInput) -> Applied:
        """It waits for an answer; one that came before the wait is taken at once."""
        sets: dict[str, Value] = {
            "next_method": outcome.next_method,
            "next_kwargs": pack(outcome.next_kwargs or {}),
            "due": self._after(outcome.timeout),
            **_label(outcome.rendered_map_index),
        }
        applied = self.happen(Event.TOLD_AWAITING, "it waits for an answer", sets, timeout=outcome.timeout)
        question = find_question(self.tx, self.held.instance.key)
        if applied is Applied.NEW and question is not None and question.responded_at is not None:
            go_on_with_answer(self.tx, hold(self.tx, self.held.instance.id), question, self.now)
        return applied

    def checkpointed(self, outcome: Checkpointed) -> Applied:
        """It stopped on a checkpoint. Whether, when and from what it resumes is the engine's to say."""
        it = self.held.instance
        if outcome.checkpoint is not None and it.state is S.RUNNING:
            limit = self.limits.inline_checkpoint
            put_checkpoint(self.tx, self.held, outcome.checkpoint, self.now, limit=limit, reason=outcome.reason)
        now = standing(self.tx, self.held, self.now)
        if outcome.hold is None:
            decided = resume(self.task, now, outcome.reason)
        else:
            decided = held_back(now, it.resume_from, outcome.hold)
        sets: dict[str, Value] = {
            "end_date": micros(outcome.end_date),
            "due": self._after(decided.delay),
            "reason": decided.why,
            **_label(outcome.rendered_map_index),
            **columns_of(decided),
        }
        event = Event.BUDGET_SPENT if decided.spent else Event.TOLD_CHECKPOINTED
        return self.happen(event, decided.why, sets, stop=outcome.reason, resume_from=decided.source)

    def terminated(self, outcome: ServerTerminated) -> Applied:
        """The worker stopped what it had been told to stop."""
        sets = {
            "end_date": micros(outcome.end_date),
            "reason": _cut(outcome.reason),
            **columns_of_next_try(self.held.instance, self.task),
        }
        return self.happen(Event.TOLD_TERMINATED, "its worker stopped it", sets)

    def _after(self, seconds: float | None) -> int | None:
        return None if seconds is None else micros(self.now + timedelta(seconds=seconds))


_WORDS: dict[type[Outcome], str] = {
    Retried: S.UP_FOR_RETRY.value,
    Rescheduled: S.UP_FOR_RESCHEDULE.value,
    Deferred: S.DEFERRED.value,
    AwaitingInput: S.AWAITING_INPUT.value,
    Checkpointed: S.CHECKPOINTED.value,
    ServerTerminated: "server_terminated",
}


def _word(outcome: Outcome) -> str:
    """Give what is remembered of an outcome: the state it asks for."""
    return outcome.state.value if isinstance(outcome, Ended) else _WORDS[type(outcome)]


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_REASON_LENGTH]


def _label(text: str | None) -> dict[str, Value]:
    """What a map index is called stays when nothing new is said of it."""
    return {} if text is None else {"rendered_map_index": text}
