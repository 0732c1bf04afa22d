"""Checkpoints: the last two generations of each instance, written only by its current attempt."""

from datetime import datetime

from protocol.flows import ChangePolicy
from protocol.messages.checkpoints import GetCheckpoint, StopReason
from protocol.states import TaskInstanceState
from server.engine import ResumeFrom, changed
from server.faults import Conflict, Refused
from server.outcomes import NewCheckpoint
from server.points import point
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
        self,
        tx: Transaction,
        ti_id: str,
        new: NewCheckpoint,
        now: datetime,
        *,
        fence: int | None = None,
        number: int | None = None,
    ) -> Saved:
        """Record a checkpoint. Inline data above the limit is `Refused("too_large")`: write a blob and refer to it.

        One that comes again, or after a later one of the same attempt, is answered and not written.
        """
        held = _running(tx, ti_id, fence)
        it = held.instance
        if number is not None and number <= held.last_save:
            return Saved(seq=_last(tx, held), stop=it.stop)
        seq = put_checkpoint(tx, held, new, now, limit=self.limits.inline_checkpoint)
        if number is not None:
            tx.run("UPDATE instances SET last_save = ? WHERE key = ?", number, it.key)
        return Saved(seq=seq, stop=it.stop)

    @reads
    def resume_point(self, tx: Transaction, ti_id: str) -> ResumePoint:
        """Give the record to begin from, as the resume budget chose it."""
        row = tx.row("SELECT key, resume_from, began_seq FROM instances WHERE id = ?", ti_id)
        if row is None:
            raise gone(tx, ti_id)
        key, source, began = row
        return _chosen(_kept(tx, key), source, began)

    @writes
    def begin_from(
        self, tx: Transaction, ti_id: str, asked: GetCheckpoint, now: datetime, *, fence: int | None = None
    ) -> ResumePoint:
        """Give the record to begin from to who says its fingerprint, and record what was decided and why."""
        held = _running(tx, ti_id, fence)
        it = held.instance
        said = asked.why
        if asked.passed_over is not None:
            why = f"record {asked.passed_over} could not be used: {said or 'its reader did not say why'}"[:500]
            if tx.rows("SELECT 1 FROM checkpoints WHERE instance_key = ? AND seq = ?", it.key, asked.passed_over):
                tx.run("DELETE FROM checkpoints WHERE instance_key = ? AND seq = ?", it.key, asked.passed_over)
                tell(tx, it, Turn(Event.HEARTBEAT, now, why, detail={"seq": asked.passed_over}), "record_passed_over")
            said = why
        point = _chosen(_kept(tx, it.key), it.resume_from, held.began_seq)
        if point.checkpoint is None:
            note = point.note or (f"a fresh start: {said}" if said else None)
            if note is not None:
                tell(tx, it, Turn(Event.HEARTBEAT, now, note), "fresh_start")
            return ResumePoint(checkpoint=None, note=note)
        change = changed(point.checkpoint.fingerprint, asked.fingerprint)
        if change is not None:
            return self._changed(tx, held, point.checkpoint, change, now)
        why = f"it resumes from record {point.checkpoint.seq}" + (
            f": {point.note or said}" if point.note or said else ""
        )
        tell(tx, it, Turn(Event.HEARTBEAT, now, why, detail={"seq": point.checkpoint.seq}), "resumes_from")
        return ResumePoint(checkpoint=point.checkpoint, note=point.note or said)

    def _changed(self, tx: Transaction, held: Held, record: Checkpoint, change: str, now: datetime) -> ResumePoint:
        """By the author's policy: a person looks first, or the records of what is no more are let go of."""
        it = held.instance
        change = f"{change} since record {record.seq} was written"
        if self.graphs.get(tx, held.graph).task(it.task_id).on_change is ChangePolicy.HOLD:
            tell(tx, it, Turn(Event.HEARTBEAT, now, f"it is to be held: {change}"), "held_for_change")
            return ResumePoint(checkpoint=None, note=None, hold=change)
        tx.run("DELETE FROM checkpoints WHERE instance_key = ?", it.key)
        tx.run("UPDATE instances SET best_progress = NULL WHERE key = ?", it.key)
        note = f"a fresh start: {change}"
        tell(tx, it, Turn(Event.HEARTBEAT, now, note), "fresh_start")
        return ResumePoint(checkpoint=None, note=note)

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


def _running(tx: Transaction, ti_id: str, fence: int | None) -> Held:
    """Give an attempt that is the current one. Nobody else writes."""
    held = hold(tx, ti_id)
    it = held.instance
    if it.state is not TaskInstanceState.RUNNING or fence not in {None, it.fence}:
        raise Conflict("not_running", f"it is {it.state}", current_state=it.state.value)
    return held


def _chosen(kept: list[Checkpoint], source: str, began: int) -> ResumePoint:
    """Choose as the resume budget decided; what this attempt has written itself is always the latest."""
    if not kept:
        return ResumePoint(checkpoint=None, note=None)
    if source == ResumeFrom.LATEST or kept[0].seq > began:
        return ResumePoint(checkpoint=kept[0], note=None)
    if source == ResumeFrom.PREVIOUS and len(kept) > 1:
        note = f"record {kept[0].seq} was passed over: resuming from it made no progress"
        return ResumePoint(checkpoint=kept[1], note=note)
    return ResumePoint(checkpoint=None, note="a fresh start: resuming from the records made no progress")


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
    last = _last(tx, held)
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
    point("server.save.written")
    _keep_the_last(tx, it.key)
    tell(
        tx, it, Turn(Event.HEARTBEAT, now, f"record {seq}", detail={"seq": seq, "progress": new.progress}), "checkpoint"
    )
    return seq


def _last(tx: Transaction, held: Held) -> int:
    """Give the number of the record that was written last."""
    row = tx.row("SELECT max(seq) FROM checkpoints WHERE instance_key = ?", held.instance.key)
    return max((row and row[0]) or 0, held.began_seq)


def _keep_the_last(tx: Transaction, key: int) -> None:
    tx.run(
        "DELETE FROM checkpoints WHERE instance_key = ? AND seq NOT IN "
        "(SELECT seq FROM checkpoints WHERE instance_key = ? ORDER BY seq DESC LIMIT ?)",
        key,
        key,
        GENERATIONS,
    )
