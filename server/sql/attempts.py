"""The life of an attempt: `/run`, heartbeats, and what it writes about itself."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from protocol.messages.checkpoints import StopReason
from protocol.states import TaskInstanceState
from server.engine import may_retry
from server.faults import Conflict, NotFound
from server.records import Applied, Beat, Instance, PidOf, Process, Started
from server.rules import Event
from server.sql.part import Part
from server.sql.rows import FROM_INSTANCES, INSTANCE, RUN, RUN_WIDTH, instance, micros, moment_or_none, pack, run
from server.sql.transaction import Transaction, Value, reads, writes
from server.sql.transitions import HELD, HELD_WIDTH, Held, Turn, gone, happen, hold, hold_run_of, tell, tell_of

REMARK = "remark"
_WHOSE = {PidOf.CHILD: "pid", PidOf.WORKER: "by worker"}

_RESCHEDULED = "FROM reschedules s WHERE s.instance_key = i.key AND s.try_number = i.try_number"
_STARTED = f"{HELD}, {RUN}, (SELECT count(*) {_RESCHEDULED}), (SELECT min(s.start_date) {_RESCHEDULED})"


class AttemptLife(Part):
    """Attempts, from `/run` on."""

    @reads
    def instance(self, tx: Transaction, ti_id: str) -> Instance:
        """Give the instance whose current attempt this is."""
        row = tx.row(f"SELECT {INSTANCE} {FROM_INSTANCES} WHERE i.id = ?", ti_id)
        if row is None:
            raise gone(tx, ti_id)
        return instance(row)

    @writes
    def start(
        self,
        tx: Transaction,
        ti_id: str,
        process: Process,
        start_date: datetime,
        now: datetime,
        *,
        fence: int | None = None,
        pid_of: PidOf = PidOf.CHILD,
    ) -> Started:
        """`/run`. Asked again by the same process it answers the same. With a fence, only its claim may start it."""
        held = hold(tx, ti_id)
        it = held.instance
        if fence is not None and fence != it.fence:
            raise Conflict("invalid_state", f"claim {fence} is over; {it.fence} is in force", previous_state=it.state)
        where = f"{process.hostname} {_WHOSE[pid_of]} {process.pid}"
        sets = _start(tx, held, process, start_date, now) | {"due": self._lease(now)}
        turn = Turn(Event.RUN, now, f"started on {where}", sets, {"hostname": process.hostname, "pid": process.pid})
        if happen(tx, held, turn) is Applied.AGAIN:
            if process != _process(it):
                message = f"it runs already, on {it.hostname} pid {it.pid}"
                raise Conflict("invalid_state", message, previous_state=it.state.value)
            # Who asks again has had no answer, and counts the lease from this time.
            tx.run("UPDATE instances SET due = ? WHERE key = ?", sets["due"], it.key)
        return self._started(tx, it.id)

    def _lease(self, now: datetime) -> int:
        return micros(now + timedelta(seconds=self.limits.lease))

    def _started(self, tx: Transaction, ti_id: str) -> Started:
        row = tx.row(f"SELECT {_STARTED} {FROM_INSTANCES} WHERE i.id = ?", ti_id)
        assert row is not None  # noqa: S101 - this transaction holds it
        held = Held(row)
        it = held.instance
        count, first = row[HELD_WIDTH + RUN_WIDTH :]
        resumed = it.next_method is not None
        graph = self.graphs.get(tx, held.graph)
        return Started(
            instance=it,
            run=run(row[HELD_WIDTH:]),
            graph=graph.graph,
            task=graph.task(it.task_id),
            should_retry=may_retry(it.try_number, it.max_tries),
            reschedule_count=count,
            first_reschedule=moment_or_none(first),
            xcom_keys=[] if resumed else _xcom_keys(tx, it),
            resumed=resumed,
        )

    @writes
    def heartbeat(
        self, tx: Transaction, ti_id: str, hostname: str, pid: int, now: datetime, *, fence: int | None = None
    ) -> Beat:
        """Renew the lease. One statement when all is well; only a refusal looks closer."""
        due = self._lease(now)
        row = tx.row(
            "UPDATE instances SET heartbeat_at = ?, due = ? "
            "WHERE id = ? AND state = 'running' AND hostname = ? AND pid = ? AND fence = coalesce(?, fence) "
            "RETURNING stop",
            micros(now),
            due,
            ti_id,
            hostname,
            pid,
            fence,
        )
        if row is None:
            raise _refused(hold(tx, ti_id).instance)
        return Beat(
            lease=now + timedelta(seconds=self.limits.lease), stop=None if row[0] is None else StopReason(row[0])
        )

    @writes
    def remark(self, tx: Transaction, ti_id: str, why: str, now: datetime) -> None:
        """Write what its worker saw into the timeline, once; nothing changes by it."""
        row = tx.row(
            "SELECT key, try_number FROM instances WHERE id = ? "
            "UNION ALL SELECT instance_key, try_number FROM attempts WHERE id = ?",
            ti_id,
            ti_id,
        )
        if row is None:
            raise NotFound("attempt", ti_id)
        same = "SELECT 1 FROM events WHERE instance_key = ? AND attempt_id = ? AND what = ? AND why = ?"
        if not tx.rows(same, row[0], ti_id, REMARK, why):
            tell_of(tx, (row[0], ti_id, row[1]), Turn(Event.HEARTBEAT, now, why), REMARK)

    @writes
    def renew_leases(self, tx: Transaction, now: datetime) -> int:
        """Begin all leases anew, because nobody could have been heard for a while; gives how many."""
        sql = "UPDATE instances SET due = ? WHERE held = 1 AND state {0} 'queued'"
        claim = micros(now + timedelta(seconds=self.limits.claim_lease))
        return tx.run(sql.format("<>"), self._lease(now)) + tx.run(sql.format("="), claim)

    @writes
    def skip_downstream(
        self, tx: Transaction, ti_id: str, tasks: Sequence[tuple[str, int | None]], now: datetime
    ) -> int:
        """Skip these tasks of the same run, with a map index or all of them; gives how many were."""
        hold_run_of(tx, ti_id)
        it = hold(tx, ti_id).instance
        skipped = 0
        for task_id, map_index in tasks:
            values: list[Value] = [it.run_key, task_id]
            which = "i.run_key = ? AND i.task_id = ?"
            if map_index is not None:
                which += " AND i.map_index = ?"
                values.append(map_index)
            for (other,) in tx.rows(f"SELECT i.id FROM instances i WHERE {which} ORDER BY i.key", *values):
                turn = Turn(Event.SKIP, now, f"skipped by {it.task_id}")
                skipped += happen(tx, hold(tx, other), turn) is Applied.NEW
        return skipped

    @writes
    def set_rendered_fields(self, tx: Transaction, ti_id: str, fields: dict[str, Any]) -> None:
        """Keep the rendered template fields of this attempt."""
        it = hold(tx, ti_id).instance
        tx.run(
            "INSERT INTO rendered_fields (attempt_id, instance_key, fields) VALUES (?, ?, ?) "
            "ON CONFLICT (attempt_id) DO UPDATE SET fields = excluded.fields",
            it.id,
            it.key,
            pack(fields),
        )

    @writes
    def set_rendered_map_index(self, tx: Transaction, ti_id: str, text: str) -> None:
        """Keep what this map index is called."""
        it = hold(tx, ti_id).instance
        tx.run("UPDATE instances SET rendered_map_index = ? WHERE key = ?", text, it.key)

    @reads
    def reschedule_start(self, tx: Transaction, ti_id: str, try_number: int) -> datetime | None:
        """Give when a try first began, across its reschedules; None when it was never rescheduled."""
        row = tx.row("SELECT key FROM instances WHERE id = ?", ti_id)
        if row is None:
            raise gone(tx, ti_id)
        found = tx.row(
            "SELECT min(start_date) FROM reschedules WHERE instance_key = ? AND try_number = ?", row[0], try_number
        )
        return moment_or_none(found[0] if found else None)

    @writes
    def request_stop(self, tx: Transaction, ti_id: str, reason: StopReason, now: datetime) -> None:
        """Ask a running attempt to stop at its next checkpoint."""
        it = hold(tx, ti_id).instance
        if it.state is not TaskInstanceState.RUNNING:
            raise Conflict("not_running", f"it is {it.state}", current_state=it.state.value)
        tx.run("UPDATE instances SET stop = ? WHERE key = ?", reason.value, it.key)
        tell(tx, it, Turn(Event.HEARTBEAT, now, f"asked to stop: {reason}"), "stop_requested")


def _start(tx: Transaction, held: Held, process: Process, start_date: datetime, now: datetime) -> dict[str, Value]:
    """Give the columns an attempt starts with; one that goes on after a wait keeps its first start."""
    it = held.instance
    last = tx.row("SELECT seq, progress FROM checkpoints WHERE instance_key = ? ORDER BY seq DESC LIMIT 1", it.key) or (
        0,
        None,
    )
    named = [progress for progress in (held.best_progress, last[1]) if progress is not None]
    told_already = held.told is not None and held.told.startswith(f"{it.fence}:")
    going_on = it.next_method is not None and it.start_date is not None
    return {
        "held": 1,
        "worker": it.worker or process.hostname,
        # Without a claim since its last outcome, a second outcome like it would be taken for the first one again.
        "fence": it.fence + told_already,
        "hostname": process.hostname,
        "unixname": process.unixname,
        "pid": process.pid,
        "heartbeat_at": micros(now),
        "end_date": None,
        "kind": None,
        "reason": None,
        "stop": None,
        "began_seq": last[0],
        "last_save": 0,
        "best_progress": max(named, default=None),
    } | ({} if going_on else {"start_date": micros(start_date)})


def _process(it: Instance) -> Process | None:
    if it.hostname is None or it.unixname is None or it.pid is None:
        return None
    return Process(hostname=it.hostname, unixname=it.unixname, pid=it.pid)


def _refused(it: Instance) -> Conflict:
    if it.state is not TaskInstanceState.RUNNING:
        return Conflict("not_running", f"it is {it.state}", current_state=it.state.value)
    message = f"it runs elsewhere, on {it.hostname} pid {it.pid}"
    return Conflict("running_elsewhere", message, current_hostname=it.hostname, current_pid=it.pid)


def _xcom_keys(tx: Transaction, it: Instance) -> list[str]:
    """Give the keys earlier attempts left; those of all map indexes when this is not a mapped one, as Airflow does."""
    which = "run_key = ? AND task_id = ?"
    values: list[Value] = [it.run_key, it.task_id]
    if it.map_index >= 0:
        which += " AND map_index = ?"
        values.append(it.map_index)
    return [key for (key,) in tx.rows(f"SELECT DISTINCT key FROM xcoms WHERE {which} ORDER BY key", *values)]
