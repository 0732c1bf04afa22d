"""How the rows of an instance say what `server.engine` needs to know of its resumes, and keep what it decided."""

from datetime import datetime

from protocol.flows import TaskSpec
from server.engine import Resume, ResumeFrom, Standing, fall_back, progressed
from server.sql.rows import micros
from server.sql.transaction import Transaction, Value
from server.sql.transitions import Held


def standing(tx: Transaction, held: Held, until: datetime | None = None) -> Standing:
    """Give where an instance stands when its attempt ends; `until` when it was from outside that it was ended."""
    it = held.instance
    kept = tx.rows("SELECT seq, progress FROM checkpoints WHERE instance_key = ? ORDER BY seq DESC", it.key)
    seq, progress = kept[0] if kept else (0, None)
    moved = seq > held.began_seq
    got_on = progressed(held.best_progress, progress, moved=moved)
    return Standing(
        stage=it.resume_stage,
        stalls=it.stalls,
        generations=len(kept),
        moved=moved,
        progress=got_on,
        brief=not got_on and until is not None and _brief(tx, held, until),
    )


def _brief(tx: Transaction, held: Held, until: datetime) -> bool:
    """Whether it had less time than the attempt that saved last took to its first record. The timeline says both."""
    it = held.instance
    saver = tx.row(
        "SELECT attempt_id, min(at) FROM events WHERE instance_key = ? AND what = 'checkpoint' "
        "GROUP BY attempt_id ORDER BY 2 DESC LIMIT 1",
        it.key,
    )
    if saver is None or it.start_date is None:
        return False
    began = tx.row(
        "SELECT max(at) FROM events WHERE instance_key = ? AND attempt_id = ? AND what = 'run' AND at <= ?",
        it.key,
        *saver,
    )
    return began is not None and began[0] is not None and micros(until) - micros(it.start_date) < saver[1] - began[0]


def columns_of(decided: Resume) -> dict[str, Value]:
    """Give the columns that keep a decision."""
    return {"resume_from": decided.source.value, "resume_stage": decided.stage.value, "stalls": decided.stalls}


BEGINNING: dict[str, Value] = {
    "resume_from": ResumeFrom.LATEST.value,
    "resume_stage": ResumeFrom.LATEST.value,
    "stalls": 0,
}


def columns_after_failure(tx: Transaction, held: Held, task: TaskSpec) -> dict[str, Value]:
    """A failed try is a stall too: a record that breaks whoever reads it must not use up all tries."""
    now = standing(tx, held)
    if not now.generations:
        return {}
    decided = fall_back(task, now)
    return columns_of(decided) if not decided.spent else {"resume_from": ResumeFrom.FRESH.value, "stalls": 0}
