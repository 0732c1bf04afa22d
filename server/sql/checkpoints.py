"""Checkpoints: the last two generations of each instance, written only by its current attempt."""

from datetime import datetime

from protocol.messages.checkpoints import StopReason
from protocol.states import TaskInstanceState
from server.engine import ResumeFrom
from server.faults import Conflict, Refused
from server.outcomes import NewCheckpoint
from server.records import Checkpoint, ResumePoint, Saved
from server.rules import Event
from server.sql.part import Part
from server.sql.rows import CHECKPOINT, checkpoint, micros, pack_or_none
from server.sql.transaction import Transaction, reads, writes
from server.sql.transitions import Held, Turn, gone, hold, tell

GENERATIONS = 2


class Checkpoints(Part):
    """Saving and resuming."""

    @writes
    def save_checkpoint(
        self, tx: Transaction, ti_id: str, new: NewCheckpoint, now: datetime, *, fence: int | None = None
    ) -> Saved:
        """Record a checkpoint. Inline data above the limit is `Refused("too_large")`: write a blob and refer to it."""
        held = hold(tx, ti_id)
        it = held.instance
        if it.state is not TaskInstanceState.RUNNING or fence not in {None, it.fence}:
            raise Conflict("not_running", f"it is {it.state}", current_state=it.state.value)
        seq = put_checkpoint(tx, held, new, now, limit=self.limits.inline_checkpoint)
        return Saved(seq=seq, stop=it.stop)

    @reads
    def resume_point(self, tx: Transaction, ti_id: str) -> ResumePoint:
        """Give the record to begin from, as the resume budget chose it."""
        row = tx.row("SELECT key, resume_from, began_seq, reason FROM instances WHERE id = ?", ti_id)
        if row is None:
            raise gone(tx, ti_id)
        key, source, began, _ = row
        kept = _kept(tx, key)
        if not kept:
            return ResumePoint(checkpoint=None, note=None)
        if source == ResumeFrom.LATEST or kept[0].seq > began:
            return ResumePoint(checkpoint=kept[0], note=None)
        if source == ResumeFrom.PREVIOUS and len(kept) > 1:
            note = f"record {kept[0].seq} was passed over: resuming from it made no progress"
            return ResumePoint(checkpoint=kept[1], note=note)
        return ResumePoint(checkpoint=None, note="a fresh start: resuming from the records made no progress")

    @reads
    def checkpoints(
        self, tx: Transaction, dag_id: str, run_id: str, task_id: str, map_index: int = -1
    ) -> list[Checkpoint]:
        """Give the generations that are kept, latest first."""
        row = tx.row(
            "SELECT i.key FROM instances i JOIN runs r ON r.key = i.run_key "
            "WHERE r.dag_id = ? AND r.run_id = ? AND i.task_id = ? AND i.map_index = ?",
            dag_id,
            run_id,
            task_id,
            map_index,
        )
        return _kept(tx, row[0]) if row else []


def _kept(tx: Transaction, key: int) -> list[Checkpoint]:
    rows = tx.rows(f"SELECT {CHECKPOINT} FROM checkpoints WHERE instance_key = ? ORDER BY seq DESC", key)
    return [checkpoint(row) for row in rows]


def put_checkpoint(
    tx: Transaction, held: Held, new: NewCheckpoint, now: datetime, *, limit: int, reason: StopReason | None = None
) -> int:
    """Write a record and let go of those before the last two; gives its number.

    What the budget passed over is let go of first: it must not be what the next fall-back falls back to.
    """
    it = held.instance
    data = pack_or_none(new.data)
    if data is not None and len(data.encode()) > limit:
        message = f"the data has {len(data.encode())} bytes; above {limit} it has to be a blob"
        raise Refused("too_large", message, limit=limit)
    row = tx.row("SELECT max(seq) FROM checkpoints WHERE instance_key = ?", it.key)
    last: int = max((row and row[0]) or 0, held.began_seq)
    if last == held.began_seq:
        passed_over = {ResumeFrom.LATEST: last + 1, ResumeFrom.PREVIOUS: last, ResumeFrom.FRESH: 0}[it.resume_from]
        tx.run("DELETE FROM checkpoints WHERE instance_key = ? AND seq >= ?", it.key, passed_over)
    seq = last + 1
    tx.run(
        f"INSERT INTO checkpoints (instance_key, {CHECKPOINT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        it.key,
        seq,
        it.try_number,
        micros(now),
        new.progress,
        new.fingerprint,
        data,
        pack_or_none(new.blob),
        reason,
    )
    _keep_the_last(tx, it.key)
    tell(
        tx, it, Turn(Event.HEARTBEAT, now, f"record {seq}", detail={"seq": seq, "progress": new.progress}), "checkpoint"
    )
    return seq


def _keep_the_last(tx: Transaction, key: int) -> None:
    tx.run(
        "DELETE FROM checkpoints WHERE instance_key = ? AND seq NOT IN "
        "(SELECT seq FROM checkpoints WHERE instance_key = ? ORDER BY seq DESC LIMIT ?)",
        key,
        key,
        GENERATIONS,
    )
