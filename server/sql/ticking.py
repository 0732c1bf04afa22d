"""The engine's tick: what is due happens, and runs in which something changed are advanced.

Any number of servers may tick at once. A change is a row of a queue: taken and removed in the transaction that acts on
it, so a crash in between leaves it there; and the run is locked before it is looked at, so whoever looks later sees
what the one before did. What is due comes after that, with locks that others pass over: whoever locks a run and its
instances does it in this order, and a tick that holds an instance waits for nobody.
"""

from collections import defaultdict
from datetime import datetime, timedelta
from functools import partial

from msgspec import Struct, field

from protocol.flows import RETURN_VALUE, TaskSpec
from protocol.messages.runs import DagRunState
from protocol.states import TaskInstanceState
from server.engine import advance, expansion, lost, may_retry, retry_at
from server.records import FailureKind, Ticked
from server.rules import Event
from server.sql.clearing import columns_of_next_try
from server.sql.part import Part
from server.sql.planting import plant
from server.sql.questions import FAIL, nobody_answered
from server.sql.resuming import columns_after_failure, columns_of, standing
from server.sql.rows import FROM_INSTANCES, micros, moment, pack
from server.sql.transaction import ENGINE, Row, Transaction, Value, marks, writes
from server.sql.transitions import HELD, Held, Turn, change, happen, happen_to_many, hold, let_go

S = TaskInstanceState

_TIMERS = {
    S.QUEUED: (Event.CLAIM_OVER, "its worker did not start it in time"),
    S.UP_FOR_RETRY: (Event.RETRY_DUE, "the delay is over"),
    S.UP_FOR_RESCHEDULE: (Event.RESCHEDULE_DUE, "the moment has come"),
    S.CHECKPOINTED: (Event.RESUME_DUE, "it resumes"),
}


_STATES = {state.value: state for state in S}
"""A look-up costs a tenth of making the member of the enumeration, and a graph may have ten thousand tasks."""


AGAIN = timedelta(minutes=1)
"""When an instance is looked at again that could not be decided."""


class _Count(Struct):
    transitions: int = 0
    queued: int = 0
    faults: list[str] = field(default_factory=list)


class Ticking(Part):
    """The tick, and waiting for the next one."""

    @writes
    def tick(self, tx: Transaction, now: datetime, *, limit: int = 200) -> Ticked:
        """Let happen what is due, and advance the runs in which something changed. Safe in many servers at once."""
        count = _Count()
        for key, digest in _take_changed(tx, limit):
            fault = tx.apart(partial(self._advance, tx, key, digest, now, count))
            if fault is not None:
                count.faults.append(f"run {_name_of(tx, key)} cannot be advanced until it changes: {_told(fault)}")
        due = tx.rows(
            f"SELECT {HELD} {FROM_INSTANCES} WHERE i.due <= ? ORDER BY i.due LIMIT ?{tx.lock_free}", micros(now), limit
        )
        for row in due:
            fault = tx.apart(partial(self._due, tx, row, now))
            if fault is not None:
                tx.run("UPDATE instances SET due = ? WHERE key = ?", micros(now + AGAIN), row[0])
                count.faults.append(f"attempt {row[1]} is looked at again in {AGAIN}: {_told(fault)}")
        count.transitions += len(due)
        for (key,) in tx.rows(f"SELECT i.key FROM runs i WHERE i.due <= ? LIMIT ?{tx.lock_free}", micros(now), limit):
            tx.run("UPDATE runs SET due = NULL WHERE key = ?", key)
            change(tx, key)
        more = len(due) >= limit or bool(tx.row("SELECT 1 FROM changed LIMIT 1"))
        return Ticked(
            transitions=count.transitions, queued=count.queued, more=more, next_due=_next_due(tx), faults=count.faults
        )

    async def wait_for_change(self, seen: int, seconds: float) -> bool:
        """Return when a transition after `seen` calls for a tick, or after so many seconds (then False)."""
        return await self.database.wait([ENGINE], seen, seconds)

    def change_seen(self) -> int:
        """Give a number before a tick; `wait_for_change` with it misses nothing."""
        return self.database.seen([ENGINE])

    def _due(self, tx: Transaction, row: Row, now: datetime) -> None:
        held = Held(row)
        match held.instance.state:
            case S.RUNNING | S.RESTARTING:
                self._lost(tx, held, now)
            case S.DEFERRED:
                sets = {"next_method": FAIL, "next_kwargs": pack({"error": "Trigger timeout"}), "trigger_id": None}
                happen(tx, held, Turn(Event.WAIT_OVER, now, "its trigger did not fire in time", sets))
            case _ if held.lingers:
                let_go(tx, held, Turn(Event.LOST_FAIL, now, "its worker has been silent for a lease"))
            case S.AWAITING_INPUT:
                nobody_answered(tx, held, now)
            case state:
                event, why = _TIMERS[state]
                happen(tx, held, Turn(event, now, why))

    def _lost(self, tx: Transaction, held: Held, now: datetime) -> None:
        it = held.instance
        task = self.graphs.get(tx, held.graph).task(it.task_id)
        event, resumed = lost(task, standing(tx, held, it.heartbeat_at), retry=may_retry(it.try_number, it.max_tries))
        since = it.heartbeat_at.isoformat() if it.heartbeat_at else "its start"
        why = f"no heartbeat since {since}"
        sets: dict[str, Value] = {"kind": FailureKind.LOST.value, "reason": why}
        if it.state is S.RESTARTING:
            sets |= columns_of_next_try(it, task)
        elif resumed is not None:
            why = f"{why}; {resumed.why}"
            sets |= columns_of(resumed)
            sets["due"] = None if resumed.delay is None else micros(now) + round(resumed.delay * 1_000_000)
        elif event is Event.LOST_RETRY:
            sets |= {"due": micros(retry_at(task, now, None)), **columns_after_failure(tx, held, task)}
        happen(tx, held, Turn(event, now, why, sets, {"kind": FailureKind.LOST, "worker": it.worker}))

    def _advance(self, tx: Transaction, key: int, digest: str, now: datetime, count: _Count) -> None:
        graph = self.graphs.get(tx, digest)
        row = tx.row(
            "SELECT r.state, f.is_paused FROM runs r LEFT JOIN flows f ON f.dag_id = r.dag_id "
            "WHERE r.key = ? AND r.due IS NULL",
            key,
        )
        if row is None:
            return
        state, paused = DagRunState(row[0]), bool(row[1])
        before = count.queued
        expanded: set[str] = set()
        while True:
            decided = advance(graph.plan, _tallies(tx, key), expanded, paused=paused)
            for one in decided.changes:
                moved, queued = happen_to_many(tx, key, one.task_id, Turn(one.event, now, one.why))
                count.transitions += moved
                count.queued += queued
            for expand in decided.expansions:
                self._expand(tx, key, graph.task(expand.task_id), expand.over, now)
                expanded.add(expand.task_id)
            if not decided.expansions:
                break
        _set_state(tx, key, (state, decided.state), now, queued=count.queued > before)

    def _expand(self, tx: Transaction, key: int, task: TaskSpec, over: str, now: datetime) -> None:
        """See that each item has its instance. Over a mapped task, the items are what its instances returned."""
        length = None
        rows = tx.rows(
            "SELECT map_index, mapped_length FROM xcoms WHERE run_key = ? AND task_id = ? AND key = ?",
            key,
            over,
            RETURN_VALUE,
        )
        if rows:
            length = rows[0][1] if rows[0][0] < 0 else len(rows)
        found = expansion(length, _tallies(tx, key).get(over, {}), self.limits.mapped)
        if found.event is None:
            _fit(tx, key, task, found.length, now)
        else:
            happen_to_many(tx, key, task.task_id, Turn(found.event, now, found.why))


def _fit(tx: Transaction, key: int, task: TaskSpec, length: int, now: datetime) -> None:
    """Have as many indexes. The first time one instance stands for all; later there may be too few or too many."""
    tx.run("UPDATE instances SET map_index = 0 WHERE run_key = ? AND task_id = ? AND map_index < 0", key, task.task_id)
    have = tx.rows("SELECT id, map_index, state FROM instances WHERE run_key = ? AND task_id = ?", key, task.task_id)
    for ti_id, index, state in have:
        if index >= length and state == S.SCHEDULED:
            happen(tx, hold(tx, ti_id), Turn(Event.UNMAP, now, f"mapped over {length} items now"))
        elif index < length and state == S.REMOVED:
            held = hold(tx, ti_id)
            turn = Turn(Event.REMAP, now, f"mapped over {length} items", columns_of_next_try(held.instance, task))
            happen(tx, held, turn)
    missing = set(range(length)) - {index for _, index, _ in have}
    plant(tx, key, now, ((task, index) for index in sorted(missing)))


def _take_changed(tx: Transaction, limit: int) -> list[tuple[int, str]]:
    """Take changes off their queue, and lock their runs in one order."""
    taken = tx.rows(f"SELECT i.id, i.run_key FROM changed i ORDER BY i.id LIMIT ?{tx.lock_free}", limit)
    if not taken:
        return []
    tx.many("DELETE FROM changed WHERE id = ?", [(number,) for number, _ in taken])
    keys = sorted({key for _, key in taken})
    rows = tx.rows(f"SELECT i.key, i.graph FROM runs i WHERE i.key IN ({marks(keys)}) ORDER BY i.key{tx.lock}", *keys)
    return [(key, digest) for key, digest in rows]


def _tallies(tx: Transaction, key: int) -> dict[str, dict[TaskInstanceState, int]]:
    """Count the instances of each task by state."""
    tallies: dict[str, dict[TaskInstanceState, int]] = defaultdict(dict)
    sql = "SELECT task_id, state, count(*) FROM instances WHERE run_key = ? GROUP BY task_id, state"
    for task_id, state, count in tx.rows(sql, key):
        tallies[task_id][_STATES[state]] = count
    return tallies


def _set_state(
    tx: Transaction, key: int, step: tuple[DagRunState, DagRunState], now: datetime, *, queued: bool
) -> None:
    """A run is `queued` until something of it is; and what ended stays so until someone clears it."""
    before, after = step
    if after is before or (after is DagRunState.RUNNING and not (before is DagRunState.QUEUED and queued)):
        return
    end = None if after is DagRunState.RUNNING else micros(now)
    sql = "UPDATE runs SET state = ?, start_date = coalesce(start_date, ?), end_date = ? WHERE key = ?"
    tx.run(sql, after.value, micros(now), end, key)


def _name_of(tx: Transaction, key: int) -> str:
    row = tx.row("SELECT dag_id, run_id FROM runs WHERE key = ?", key)
    return str(key) if row is None else "/".join(row)


def _told(fault: Exception) -> str:
    """Give a fault in words."""
    return f"{type(fault).__name__}: {fault}"


def _next_due(tx: Transaction) -> datetime | None:
    rows = tx.rows(
        "SELECT min(due) FROM instances WHERE due IS NOT NULL UNION ALL SELECT min(due) FROM runs WHERE due IS NOT NULL"
    )
    found = [due for (due,) in rows if due is not None]
    return moment(min(found)) if found else None
