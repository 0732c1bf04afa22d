"""The one place where a task instance changes its state.

`happen` looks up the cell of `server.rules`, carries out the move and its effects on a locked row, and writes the line
of the timeline, all in the caller's transaction. `happen_to_many` does the same for the scheduled instances of a task
with two statements. No other code writes the column `state`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from protocol.messages.shape import Json
from protocol.states import FINISHED, TaskInstanceState
from server.faults import Archived, Conflict, NotFound
from server.records import Applied, Instance
from server.rules import Effect, Event, Mark, Move, follow, sources
from server.sql.rows import FROM_INSTANCES, INSTANCE, INSTANCE_WIDTH, fresh_id, instance, micros, pack_or_none
from server.sql.transaction import ENGINE, SLOTS, Transaction, Value

SOON = timedelta(seconds=10)
"""Whoever ticks looks more often than this, so only what is due sooner is worth waking it for."""

Sets = Mapping[str, Value]


class Turn(Struct, frozen=True):
    """Something that happens to an instance: what, when and why, for the table and for the timeline."""

    what: Event
    now: datetime
    why: str
    sets: Sets = {}
    """Columns to be set with the transition; they win over what its effects set."""
    detail: Json = None


_AT_WORK = frozenset({TaskInstanceState.QUEUED, TaskInstanceState.RUNNING, TaskInstanceState.RESTARTING})
_RELEASED: dict[str, Value] = {"held": 0, "due": None}
_FORGOTTEN: dict[str, Value] = {"next_method": None, "next_kwargs": None, "trigger_id": None}
_NEW_ATTEMPT: dict[str, Value] = {
    "worker": None, "hostname": None, "unixname": None, "pid": None, "queued_at": None, "start_date": None,
    "end_date": None, "heartbeat_at": None, "told": None, "stop": None,
}  # fmt: skip


class Held:
    """An instance whose row this transaction holds, with the columns that are no part of its record."""

    __slots__ = ("began_seq", "best_progress", "graph", "instance", "last_save", "limited", "lingers", "told")

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.instance: Instance = instance(row)
        self.graph: str
        self.told: str | None
        self.began_seq: int
        self.best_progress: float | None
        self.last_save: int
        self.limited: int
        """Whether its pool has a limit, so that others may wait for the slots it gives back."""
        self.lingers = self.instance.state in FINISHED and self.instance.due is not None
        """Whether it was ended over its worker's head and its process may run still: slot and lease are kept."""
        self.graph, self.told, self.began_seq, self.best_progress, self.last_save, self.limited = row[
            INSTANCE_WIDTH:HELD_WIDTH
        ]


_LIMITED = "EXISTS (SELECT 1 FROM pools p WHERE p.name = i.pool AND p.slots >= 0)"
HELD_WIDTH = INSTANCE_WIDTH + 6
HELD = f"{INSTANCE}, r.graph, i.told, i.began_seq, i.best_progress, i.last_save, {_LIMITED}"


def hold(tx: Transaction, ti_id: str) -> Held:
    """Lock the instance whose current attempt this is."""
    row = tx.row(f"SELECT {HELD} {FROM_INSTANCES} WHERE i.id = ?{tx.lock}", ti_id)
    if row is None:
        raise gone(tx, ti_id)
    return Held(row)


def hold_run_of(tx: Transaction, ti_id: str) -> None:
    """Lock the run before the instance, as the engine does: in one order nobody waits for each other."""
    tx.row(f"SELECT i.key FROM runs i JOIN instances n ON n.run_key = i.key WHERE n.id = ?{tx.lock}", ti_id)


def gone(tx: Transaction, ti_id: str) -> Archived | NotFound:
    """Say why an attempt is not the current one of any instance."""
    archived = tx.row("SELECT state FROM attempts WHERE id = ?", ti_id)
    return NotFound("attempt", ti_id) if archived is None else Archived(ti_id, archived[0])


def happen(tx: Transaction, held: Held, turn: Turn) -> Applied:
    """Apply an event to one instance."""
    it = held.instance
    cell = follow(it.state, turn.what)
    if cell is Mark.CONFLICT:
        message = f"{turn.what} may not follow {it.state}"
        raise Conflict("invalid_state", message, previous_state=it.state.value)
    if not isinstance(cell, Move):
        return Applied.AGAIN
    columns = _columns(cell, held, turn.now) | dict(turn.sets)
    if Effect.ARCHIVE in cell.effects:
        _archive(tx, it, cell, turn, columns)
    assignments = ", ".join(f"{name} = ?" for name in columns)
    tx.run(f"UPDATE instances SET {assignments} WHERE key = ?", *columns.values(), it.key)
    tell(tx, it, turn)
    _wake(tx, cell, held, columns, turn.now)
    return Applied.NEW


def let_go(tx: Transaction, held: Held, turn: Turn) -> None:
    """Give back the slot of an instance that lingered: its process is gone, or has been silent for a lease."""
    if held.lingers:
        tx.run("UPDATE instances SET held = 0, due = NULL WHERE key = ?", held.instance.key)
        tell(tx, held.instance, turn, "gone")
        tx.wake(SLOTS)


def _columns(cell: Move, held: Held, now: datetime) -> dict[str, Value]:
    columns: dict[str, Value] = {"state": cell.to.value}
    it, effects = held.instance, cell.effects
    if Effect.RELEASE in effects and not (held.lingers and cell.to in FINISHED):
        columns |= _RELEASED
    if Effect.FORGET in effects:
        columns |= _FORGOTTEN
    if Effect.ARCHIVE in effects:
        columns |= _NEW_ATTEMPT
        columns["id"] = fresh_id(now)
    if Effect.SPEND in effects:
        columns["try_number"] = it.try_number + 1
    if Effect.QUEUE in effects:
        columns |= {"queued_at": micros(now), "worker": None}
    if cell.to in FINISHED:
        columns["end_date"] = micros(now)
    return columns


def _archive(tx: Transaction, it: Instance, cell: Move, turn: Turn, columns: dict[str, Value]) -> None:
    """Keep the attempt under its id. One that was told is known by what it said; kind and reason are its own."""
    to, now = cell.to, micros(turn.now)
    if it.start_date is None and to is TaskInstanceState.SCHEDULED and it.state not in FINISHED:
        return
    ended = it.state if it.state in FINISHED else to
    tx.run(
        "INSERT INTO attempts (id, instance_key, try_number, state, told, worker, hostname, pid, queued_at, "
        "start_date, end_date, kind, reason, archived) "
        "SELECT id, key, try_number, ?, ?, worker, hostname, pid, queued_at, start_date, coalesce(?, end_date, ?), "
        "coalesce(?, kind), coalesce(?, reason), ? FROM instances WHERE key = ?",
        ended.value,
        str(told).partition(":")[2] if (told := columns.pop("told", None)) else None,
        columns.pop("end_date", None),
        now,
        columns.pop("kind", None),
        columns.pop("reason", None),
        now,
        it.key,
    )
    columns |= {"end_date": None, "kind": None, "reason": None, "told": None}


def _wake(tx: Transaction, cell: Move, held: Held, columns: Sets, now: datetime) -> None:
    it = held.instance
    if Effect.QUEUE in cell.effects:
        tx.wake(it.queue)
    if Effect.RELEASE in cell.effects and held.limited and it.state in _AT_WORK:
        tx.wake(SLOTS)
    if Effect.ADVANCE in cell.effects:
        change(tx, it.run_key)
    due = columns.get("due")
    if isinstance(due, int) and due < micros(now + SOON):
        tx.wake(ENGINE)


def change(tx: Transaction, run_key: int) -> None:
    """Have the engine look at a run. A queue of its own, so that ends of tasks never wait for the row of their run."""
    tx.run("INSERT INTO changed (run_key) VALUES (?)", run_key)
    tx.wake(ENGINE)


def tell(tx: Transaction, it: Instance, turn: Turn, what: str | None = None) -> None:
    """Write a line of the timeline; `what` when it is no event of the table."""
    tell_of(tx, (it.key, it.id, it.try_number), turn, what or turn.what.value)


def tell_of(tx: Transaction, whose: tuple[int, str, int], turn: Turn, what: str) -> None:
    """Write a line of the timeline of an attempt, replaced or not: its instance's key, its id, its try."""
    tx.run(_EVENT, *whose, micros(turn.now), what, turn.why, pack_or_none(turn.detail))


_EVENT = "INSERT INTO events (instance_key, attempt_id, try_number, at, what, why, detail) VALUES (?, ?, ?, ?, ?, ?, ?)"


def happen_to_many(tx: Transaction, run_key: int, task_id: str | None, turn: Turn) -> tuple[int, int]:
    """Apply an event to all instances of a task, or of the run, that it moves; gives how many, and how many queued."""
    moved = queued = 0
    for state, move in sources(turn.what).items():
        columns = _columns_of_many(move, turn.now)
        assignments = ", ".join(f"{name} = ?" for name in columns)
        which = "" if task_id is None else " AND task_id = ?"
        names: Sequence[Value] = () if task_id is None else (task_id,)
        rows = tx.rows(
            f"UPDATE instances SET {assignments} WHERE run_key = ? AND state = ?{which} "
            "RETURNING key, id, try_number, queue",
            *columns.values(),
            run_key,
            state.value,
            *names,
        )
        told = (micros(turn.now), turn.what.value, turn.why, None)
        tx.many(_EVENT, [(*row[:3], *told) for row in rows])
        moved += len(rows)
        if rows and Effect.RELEASE in move.effects and state in _AT_WORK:
            tx.wake(SLOTS)
        if Effect.QUEUE in move.effects:
            queued += len(rows)
            for queue in {row[3] for row in rows}:
                tx.wake(queue)
    return moved, queued


def _columns_of_many(move: Move, now: datetime) -> dict[str, Value]:
    """No event for many replaces attempts or spends tries: those need a row of their own each."""
    columns: dict[str, Value] = {"state": move.to.value}
    if Effect.RELEASE in move.effects:
        columns |= _RELEASED
    if Effect.FORGET in move.effects:
        columns |= _FORGOTTEN
    if Effect.QUEUE in move.effects:
        columns |= {"queued_at": micros(now), "worker": None}
    if move.to in FINISHED:
        columns["end_date"] = micros(now)
    return columns
