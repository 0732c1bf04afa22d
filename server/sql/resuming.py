"""How the rows of an instance say what `server.engine` needs to know of its resumes, and keep what it decided."""

from protocol.flows import TaskSpec
from server.engine import Resume, ResumeFrom, Standing, fall_back, progressed
from server.sql.transaction import Transaction, Value
from server.sql.transitions import Held


def standing(tx: Transaction, held: Held) -> Standing:
    """Give where an instance stands when its attempt ends."""
    it = held.instance
    kept = tx.rows("SELECT seq, progress FROM checkpoints WHERE instance_key = ? ORDER BY seq DESC", it.key)
    seq, progress = kept[0] if kept else (0, None)
    moved = seq > held.began_seq
    return Standing(
        stage=it.resume_stage,
        stalls=it.stalls,
        generations=len(kept),
        moved=moved,
        progress=progressed(held.best_progress, progress, moved=moved),
    )


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
