"""Triggers: waits that outlive a task's process, and the triggerers that run them.

A triggerer shows life by its job's heartbeat. It owns triggers by a claim; what belongs to a job that is over or silent
is anybody's, under a higher fence. An event is taken only from the owner, when it says who it is, and never decoded:
it is spliced into what the instance goes on with.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from protocol.messages.shape import Json
from server.faults import Conflict, NotFound, Refused
from server.records import Applied, FailureKind, Trigger
from server.rules import Event
from server.sql.part import Part
from server.sql.questions import FAIL, with_event
from server.sql.rows import FROM_INSTANCES, INSTANCE, INSTANCE_WIDTH, instance, micros, moment, moment_or_none, pack
from server.sql.transaction import Transaction, Value, marks, reads, writes
from server.sql.transitions import Held, Turn, happen, hold

_ENDS = {"success": Event.FIRED_SUCCESS, "failed": Event.FIRED_FAILED, "skipped": Event.FIRED_SKIPPED}
_TRIGGER = "t.id, t.classpath, t.kwargs, t.timeout_after, t.created, t.queue, t.fence"
_WAITING = (
    "EXISTS (SELECT 1 FROM instances n "
    "WHERE n.trigger_id = {0}.id AND n.key = {0}.instance_key AND n.state = 'deferred')"
)


class Triggers(Part):
    """Jobs, claims on triggers, and their events."""

    @writes
    def register_job(self, tx: Transaction, job_type: str, hostname: str, now: datetime) -> int:
        """Say that a triggerer lives."""
        row = tx.row(
            "INSERT INTO jobs (job_type, hostname, started, heartbeat) VALUES (?, ?, ?, ?) RETURNING id",
            job_type,
            hostname,
            micros(now),
            micros(now),
        )
        return row[0] if row else 0

    @writes
    def job_heartbeat(self, tx: Transaction, job_id: int, now: datetime) -> bool:
        """Say that it still lives; False when the job is unknown or over."""
        return tx.run("UPDATE jobs SET heartbeat = ? WHERE id = ? AND ended IS NULL", micros(now), job_id) > 0

    @writes
    def complete_job(self, tx: Transaction, job_id: int, now: datetime) -> bool:
        """Say that it ended; what it owned is free."""
        tx.run("UPDATE triggers SET triggerer = NULL WHERE triggerer = ?", job_id)
        return tx.run("UPDATE jobs SET ended = ? WHERE id = ? AND ended IS NULL", micros(now), job_id) > 0

    @writes
    def load_triggers(
        self,
        tx: Transaction,
        triggerer: int,
        capacity: int,
        threshold: float,
        queues: Sequence[str] | None,
        now: datetime,
    ) -> list[int]:
        """Give the ids this triggerer owns now, after it took over what nobody alive owns, up to its capacity."""
        if tx.row("SELECT 1 FROM jobs WHERE id = ? AND ended IS NULL", triggerer) is None:
            raise NotFound("job", triggerer)
        (owned,) = tx.rows("SELECT count(*) FROM triggers WHERE triggerer = ?", triggerer)[0]
        if owned < capacity:
            alive = micros(now - timedelta(seconds=threshold))
            which, values = "", list[Value]()
            if queues is not None:
                which, values = f" AND i.queue IN ({marks(queues)})" if queues else " AND 1 = 0", list(queues)
            free = tx.rows(
                f"SELECT i.id FROM triggers i WHERE {_WAITING.format('i')} "
                "AND (i.triggerer IS NULL OR i.triggerer NOT IN "
                f"(SELECT j.id FROM jobs j WHERE j.ended IS NULL AND j.heartbeat >= ?)){which} "
                f"ORDER BY i.id LIMIT ?{tx.lock_free}",
                alive,
                *values,
                capacity - owned,
            )
            sql = "UPDATE triggers SET triggerer = ?, fence = fence + 1 WHERE id = ?"
            tx.many(sql, [(triggerer, trigger) for (trigger,) in free])
        mine = f"SELECT t.id FROM triggers t WHERE t.triggerer = ? AND {_WAITING.format('t')} ORDER BY t.id"
        return [trigger for (trigger,) in tx.rows(mine, triggerer)]

    @reads
    def trigger_workloads(self, tx: Transaction, ids: Sequence[int]) -> list[Trigger]:
        """Give these triggers, as far as they still wait."""
        if not ids:
            return []
        rows = tx.rows(
            f"SELECT {INSTANCE}, {_TRIGGER} {FROM_INSTANCES} JOIN triggers t ON t.id = i.trigger_id "
            f"WHERE t.id IN ({marks(ids)}) AND i.state = 'deferred' ORDER BY t.id",
            *ids,
        )
        return [
            Trigger(
                id=row[0],
                classpath=row[1],
                kwargs=row[2],
                timeout_after=moment_or_none(row[3]),
                created=moment(row[4]),
                queue=row[5],
                fence=row[6],
                instance=it,
            )
            for it, row in ((instance(row), row[INSTANCE_WIDTH:]) for row in rows)
        ]

    @writes
    def trigger_event(
        self,
        tx: Transaction,
        trigger: int,
        payload: Json,
        now: datetime,
        *,
        ends_as: str | None = None,
        triggerer: int | None = None,
    ) -> Applied:
        """Resume the waiting instance with this payload, untouched, or end it as `success`, `failed` or `skipped`."""
        if ends_as is not None and ends_as not in _ENDS:
            raise Refused("value_error", f"a trigger ends its task as {', '.join(_ENDS)}, not {ends_as!r}")
        held = _waiting(tx, trigger, triggerer)
        if held is None:
            return Applied.AGAIN
        if ends_as is None:
            sets: dict[str, Value] = {"next_kwargs": with_event(held, payload)}
            applied = happen(tx, held, Turn(Event.FIRED, now, "its trigger fired", sets | {"trigger_id": None}))
        else:
            kind = FailureKind.APP.value if ends_as == "failed" else None
            turn = Turn(_ENDS[ends_as], now, f"its trigger ended it as {ends_as}", {"kind": kind})
            applied = happen(tx, held, turn)
        tx.run("DELETE FROM triggers WHERE id = ?", trigger)
        return applied

    @writes
    def trigger_failure(
        self, tx: Transaction, trigger: int, error: list[str] | None, now: datetime, *, triggerer: int | None = None
    ) -> Applied:
        """Have the waiting instance fail, with these lines. It is resumed for that, so that its callbacks run."""
        held = _waiting(tx, trigger, triggerer)
        if held is None:
            return Applied.AGAIN
        sets = {
            "next_method": FAIL,
            "next_kwargs": pack({"error": "Trigger failure", "traceback": error}),
            "trigger_id": None,
        }
        applied = happen(tx, held, Turn(Event.FIRED, now, "its trigger failed", sets, {"traceback": error}))
        tx.run("DELETE FROM triggers WHERE id = ?", trigger)
        return applied

    @writes
    def clean_triggers(self, tx: Transaction) -> int:
        """Remove the triggers nobody waits for; gives how many."""
        return tx.run(f"DELETE FROM triggers WHERE NOT {_WAITING.format('triggers')}")


def _waiting(tx: Transaction, trigger: int, triggerer: int | None) -> Held | None:
    """Lock the instance that waits for a trigger. None: nobody does any more."""
    row = tx.row(
        "SELECT n.id, t.triggerer FROM triggers t JOIN instances n ON n.key = t.instance_key AND n.trigger_id = t.id "
        "WHERE t.id = ?",
        trigger,
    )
    if row is None:
        return None
    if triggerer is not None and row[1] != triggerer:
        raise Conflict("fenced", f"trigger {trigger} belongs to job {row[1]} now", triggerer=row[1])
    held = hold(tx, row[0])
    return held if held.instance.trigger_id == trigger else None
