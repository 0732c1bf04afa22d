"""Questions to people. One per instance; asking again wipes an answer."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from protocol.messages.shape import Json
from server.faults import Conflict, NotFound
from server.records import Applied, Question
from server.rules import Event
from server.sql.part import Part
from server.sql.rows import micros, pack
from server.sql.transaction import Transaction, reads, writes
from server.sql.transitions import Held, Turn, gone, happen, hold

FAIL = "__fail__"
"""The method that Airflow's runner takes for a wait that ended badly."""


class Questions(Part):
    """Asking and answering."""

    @writes
    def ask_people(self, tx: Transaction, ti_id: str, question: Question) -> Question:
        """Put a question; asked again it wipes an earlier answer."""
        it = hold(tx, ti_id).instance
        tx.run(
            "INSERT INTO questions (instance_key, question, answered) VALUES (?, ?, NULL) "
            "ON CONFLICT (instance_key) DO UPDATE SET question = excluded.question, answered = NULL",
            it.key,
            pack(question),
        )
        return question

    @reads
    def question(self, tx: Transaction, ti_id: str) -> Question | None:
        """Give the question this instance put, with its answer when there is one."""
        row = tx.row("SELECT key FROM instances WHERE id = ?", ti_id)
        if row is None:
            raise gone(tx, ti_id)
        return find_question(tx, row[0])

    @writes
    def answer_question(
        self,
        tx: Transaction,
        ti_id: str,
        chosen: list[str],
        params: dict[str, Any],
        by: dict[str, str] | None,
        now: datetime,
    ) -> Question:
        """Answer once (else `Conflict`); an instance that waits for it is queued."""
        held = hold(tx, ti_id)
        question = find_question(tx, held.instance.key)
        if question is None:
            raise NotFound("question of", ti_id)
        if question.responded_at is not None:
            raise Conflict("already_answered", "the question was answered already")
        answered = replace(question, responded_at=now, responded_by=by, chosen_options=chosen, params_input=params)
        _keep(tx, held.instance.key, answered)
        go_on_with_answer(tx, held, answered, now)
        return answered


def find_question(tx: Transaction, key: int) -> Question | None:
    """Find the question of an instance."""
    row = tx.row("SELECT question FROM questions WHERE instance_key = ?", key)
    return None if row is None else msgspec.json.decode(row[0], type=Question)


def _keep(tx: Transaction, key: int, question: Question) -> None:
    at = None if question.responded_at is None else micros(question.responded_at)
    tx.run("UPDATE questions SET question = ?, answered = ? WHERE instance_key = ?", pack(question), at, key)


def go_on_with_answer(tx: Transaction, held: Held, question: Question, now: datetime) -> Applied:
    """Queue an instance that waits, with the answer as its event; one that does not wait yet will find it."""
    event = _event(question, timed_out=False)
    return happen(tx, held, Turn(Event.ANSWERED, now, "people answered", {"next_kwargs": with_event(held, event)}))


def _event(question: Question, *, timed_out: bool) -> dict[str, Json]:
    return {
        "chosen_options": question.chosen_options,
        "params_input": question.params_input or {},
        "responded_by_user": question.responded_by,
        "responded_at": None if question.responded_at is None else question.responded_at.isoformat(),
        "timedout": timed_out,
    }


def with_event(held: Held, event: Json) -> str:
    """Splice an event into what the instance goes on with. The rest of it is not looked at."""
    kwargs = held.instance.next_kwargs
    return pack({**(kwargs if isinstance(kwargs, dict) else {}), "event": event})


def nobody_answered(tx: Transaction, held: Held, now: datetime) -> Applied:
    """Go on with the defaults when the question has some, and else fail."""
    question = find_question(tx, held.instance.key)
    if question is None or not question.defaults:
        sets = {"next_method": FAIL, "next_kwargs": pack({"error": "No answer in time"})}
        return happen(tx, held, Turn(Event.WAIT_OVER, now, "nobody answered in time", sets))
    answered = replace(question, responded_at=now, chosen_options=question.defaults, params_input=question.params)
    _keep(tx, held.instance.key, answered)
    sets = {"next_kwargs": with_event(held, _event(answered, timed_out=True))}
    return happen(tx, held, Turn(Event.WAIT_OVER, now, "nobody answered in time: the defaults hold", sets))
