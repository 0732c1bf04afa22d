"""What people do to instances and runs: clear, kill, resume, mark."""

from collections.abc import Iterable
from datetime import datetime

from protocol.flows import TaskSpec, downstreams
from protocol.messages.runs import DagRunState
from protocol.states import FINISHED, TaskInstanceState
from server.faults import Conflict, NotFound, Refused
from server.records import Applied, FailureKind, Instance, Run
from server.rules import Event
from server.sql.part import Part
from server.sql.resuming import BEGINNING
from server.sql.rows import FROM_INSTANCES, RUN, instance, micros, run
from server.sql.transaction import Transaction, Value, writes
from server.sql.transitions import HELD, Held, Turn, change, happen, hold, hold_run_of, tell

_MARKS = {"success": Event.MARK_SUCCESS, "failed": Event.MARK_FAILED, "skipped": Event.MARK_SKIPPED}
_CLEARED_RUN = "cleared by hand"


class Clearing(Part):
    """Acting by hand."""

    @writes
    def clear(
        self, tx: Transaction, ti_id: str, now: datetime, *, keep_checkpoint: bool, downstream: bool = False
    ) -> list[Instance]:
        """Have it run again. A running one is stopped first: its attempt must be gone before the next begins."""
        hold_run_of(tx, ti_id)
        held = hold(tx, ti_id)
        it = held.instance
        graph = self.graphs.get(tx, held.graph)
        reopen(tx, it.run_key, now)
        self._clear_one(tx, held, graph.task(it.task_id), now, keep_checkpoint=keep_checkpoint)
        cleared = [again(tx, it.key)]
        for task_id in below(it.task_id, downstreams(graph.graph)) if downstream else ():
            cleared += [
                again(tx, other.instance.key)
                for other in _of_task(tx, it.run_key, task_id)
                if self._clear_one(tx, other, graph.task(task_id), now, keep_checkpoint=False) is Applied.NEW
            ]
        return cleared

    def _clear_one(
        self, tx: Transaction, held: Held, task: TaskSpec, now: datetime, *, keep_checkpoint: bool
    ) -> Applied:
        it = held.instance
        event = Event.CLEAR_LINGERING if held.lingers else Event.CLEAR
        stays = held.lingers or it.state is TaskInstanceState.RUNNING
        sets = {} if stays else columns_of_next_try(it, task)
        turn = Turn(event, now, "cleared by hand", sets, {"keep_checkpoint": keep_checkpoint})
        applied = happen(tx, held, turn)
        if not keep_checkpoint:
            dropped = tx.run("DELETE FROM checkpoints WHERE instance_key = ?", it.key)
            tx.run("UPDATE instances SET began_seq = 0, best_progress = NULL WHERE key = ?", it.key)
            if dropped and applied is Applied.AGAIN:  # it was to run again anyway, and now it is to begin anew
                tell(tx, it, turn)
        tx.run("DELETE FROM questions WHERE instance_key = ?", it.key)
        return applied

    @writes
    def clear_run(self, tx: Transaction, dag_id: str, run_id: str, now: datetime) -> Run:
        """Have a whole run again: all its instances, from the start."""
        row = tx.row(f"SELECT i.key, i.graph FROM runs i WHERE i.dag_id = ? AND i.run_id = ?{tx.lock}", dag_id, run_id)
        if row is None:
            raise NotFound("run", f"{dag_id} {run_id}")
        key, digest = row
        reopen(tx, key, now)
        tx.run("UPDATE runs SET clear_number = clear_number + 1 WHERE key = ?", key)
        graph = self.graphs.get(tx, digest)
        for task_id, task in graph.plan.tasks.items():
            for held in _of_task(tx, key, task_id):
                self._clear_one(tx, held, task, now, keep_checkpoint=False)
        change(tx, key)
        found = tx.row(f"SELECT {RUN} FROM runs r WHERE r.key = ?", key)
        assert found is not None  # noqa: S101 - its row is locked
        return run(found)

    @writes
    def kill(self, tx: Transaction, ti_id: str, now: datetime, *, reason: str) -> Instance:
        """End it as failed at once; its worker is told at the next heartbeat, and until then its slot is in use."""
        held = hold(tx, ti_id)
        sets: dict[str, Value] = {"kind": FailureKind.KILLED.value, "reason": reason}
        happen(tx, held, Turn(Event.KILL, now, reason, sets))
        return again(tx, held.instance.key)

    @writes
    def resume(self, tx: Transaction, ti_id: str, now: datetime) -> Instance:
        """Queue a held checkpointed instance. Who does so has looked: its records are taken whatever has changed."""
        held = hold(tx, ti_id)
        tx.run("UPDATE checkpoints SET fingerprint = NULL WHERE instance_key = ?", held.instance.key)
        happen(tx, held, Turn(Event.RESUME, now, "resumed by hand"))
        return again(tx, held.instance.key)

    @writes
    def mark(self, tx: Transaction, ti_id: str, state: str, now: datetime, *, reason: str | None = None) -> Instance:
        """Set `success`, `failed` or `skipped` by hand."""
        if state not in _MARKS:
            raise Refused("invalid_state", f"one marks {', '.join(_MARKS)}, not {state!r}")
        hold_run_of(tx, ti_id)
        held = hold(tx, ti_id)
        if held.instance.state in FINISHED:
            reopen(tx, held.instance.run_key, now)
        why = f"marked by hand: {reason}" if reason else "marked by hand"
        happen(tx, held, Turn(_MARKS[state], now, why, {"kind": None, "reason": why}))
        change(tx, held.instance.run_key)
        return again(tx, held.instance.key)


def columns_of_next_try(it: Instance, task: TaskSpec) -> dict[str, Value]:
    """Give the columns of an instance that begins anew with all its retries; one that never ran begins as it is."""
    spent = it.start_date is not None or it.state in FINISHED
    number = it.try_number + spent
    return {"try_number": number, "max_tries": number - 1 + task.retries, **BEGINNING}


def reopen(tx: Transaction, run_key: int, now: datetime) -> None:
    """Let a run that is over go on; the engine will end it again."""
    tx.run(
        "UPDATE runs SET state = ?, end_date = NULL, start_date = coalesce(start_date, ?) "
        "WHERE key = ? AND state IN (?, ?)",
        DagRunState.RUNNING.value,
        micros(now),
        run_key,
        DagRunState.SUCCESS.value,
        DagRunState.FAILED.value,
    )


def below(task_id: str, after: dict[str, list[str]]) -> Iterable[str]:
    """Give all that comes after a task, each once."""
    found: dict[str, None] = {}
    todo = list(after[task_id])
    for name in todo:
        if name not in found:
            found[name] = None
            todo.extend(after[name])
    return found


def _of_task(tx: Transaction, run_key: int, task_id: str) -> list[Held]:
    sql = f"SELECT {HELD} {FROM_INSTANCES} WHERE i.run_key = ? AND i.task_id = ? ORDER BY i.map_index{tx.lock}"
    return [Held(row) for row in tx.rows(sql, run_key, task_id)]


def again(tx: Transaction, key: int) -> Instance:
    """Give an instance as it now is, perhaps under another id."""
    row = tx.row(f"SELECT {HELD} {FROM_INSTANCES} WHERE i.key = ?", key)
    if row is None:
        raise Conflict("not_found", "it was removed meanwhile")
    return instance(row)
