"""Submitting flows and runs."""

from datetime import datetime

from protocol.flows import FlowError, FlowGraph, check
from protocol.messages.runs import DagRunState
from server.faults import Conflict, NotFound, Refused
from server.records import Flow, NewRun, Pool, Run
from server.sql.graphs import Graph
from server.sql.part import Part
from server.sql.planting import UNMAPPED, plant
from server.sql.rows import RUN, micros, micros_or_none, moment, pack_or_none, run
from server.sql.transaction import ENGINE, Row, Transaction, reads, writes
from server.sql.transitions import change
from server.sql.values import checked_key


class Runs(Part):
    """Flows, runs and pools."""

    @writes
    def submit(self, tx: Transaction, graph: FlowGraph, new: NewRun, now: datetime) -> Run:
        """Keep the graph as the flow's latest, and create the run; a taken run id is `Conflict("already_exists")`."""
        try:
            check(graph)
        except FlowError as error:
            raise Refused("value_error", str(error), problems=error.problems) from error
        if graph.dag_id != new.dag_id:
            raise Refused("value_error", f"the graph is of {graph.dag_id!r}, and the run of {new.dag_id!r}")
        digest = self.graphs.put(tx, graph)
        tx.run(
            "INSERT INTO flows (dag_id, graph, updated) VALUES (?, ?, ?) "
            "ON CONFLICT (dag_id) DO UPDATE SET graph = excluded.graph, updated = excluded.updated",
            graph.dag_id,
            digest,
            micros(now),
        )
        return _create(tx, self.graphs.get(tx, digest), digest, new, now)

    @writes
    def start_run(self, tx: Transaction, new: NewRun, now: datetime) -> Run:
        """Create a run of a flow that is known."""
        row = tx.row(f"SELECT i.graph FROM flows i WHERE i.dag_id = ?{tx.lock}", new.dag_id)
        if row is None:
            raise NotFound("flow", new.dag_id)
        return _create(tx, self.graphs.get(tx, row[0]), row[0], new, now)

    @reads
    def flow(self, tx: Transaction, dag_id: str) -> Flow | None:
        """Give a flow."""
        row = tx.row("SELECT dag_id, graph, is_paused, updated FROM flows WHERE dag_id = ?", dag_id)
        return None if row is None else self._flow(tx, row)

    @reads
    def flows(self, tx: Transaction) -> list[Flow]:
        """Give all flows by name."""
        rows = tx.rows("SELECT dag_id, graph, is_paused, updated FROM flows ORDER BY dag_id")
        return [self._flow(tx, row) for row in rows]

    def _flow(self, tx: Transaction, row: Row) -> Flow:
        graph = self.graphs.get(tx, row[1]).graph
        return Flow(dag_id=row[0], graph=graph, is_paused=bool(row[2]), updated=moment(row[3]))

    @writes
    def pause(self, tx: Transaction, dag_id: str, *, paused: bool) -> bool:
        """Hold back what is not queued yet, or let it go on; says whether the flow is known."""
        known = tx.run("UPDATE flows SET is_paused = ? WHERE dag_id = ?", int(paused), dag_id) > 0
        unfinished = "SELECT key FROM runs WHERE dag_id = ? AND state IN ('queued', 'running') AND due IS NULL"
        for (key,) in tx.rows(unfinished, dag_id) if known and not paused else ():
            change(tx, key)
        return known

    @writes
    def set_run_note(self, tx: Transaction, dag_id: str, run_id: str, note: str | None) -> None:
        """Write the note of a run, or remove it."""
        if not tx.run("UPDATE runs SET note = ? WHERE dag_id = ? AND run_id = ?", note, dag_id, run_id):
            raise NotFound("run", f"{dag_id} {run_id}")

    @reads
    def pools(self, tx: Transaction) -> list[Pool]:
        """Give all pools with the slots in use."""
        rows = tx.rows(
            "SELECT p.name, p.slots, coalesce(sum(i.pool_slots), 0) FROM pools p "
            "LEFT JOIN instances i ON i.pool = p.name AND i.held = 1 GROUP BY p.name, p.slots ORDER BY p.name"
        )
        return [Pool(name=name, slots=slots, used=int(used)) for name, slots, used in rows]

    @writes
    def set_pool(self, tx: Transaction, name: str, slots: int) -> None:
        """Make a pool, or change its size; a negative number is no limit."""
        sql = "INSERT INTO pools (name, slots) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET slots = excluded.slots"
        tx.run(sql, checked_key(name), slots)
        for (queue,) in tx.rows("SELECT DISTINCT queue FROM instances WHERE state = 'queued' AND held = 0"):
            tx.wake(queue)


def _create(tx: Transaction, graph: Graph, digest: str, new: NewRun, now: datetime) -> Run:
    """Write a run with one instance for each task, mapped or not, all waiting."""
    key = _insert_run(tx, digest, new, now)
    plant(tx, key, now, ((task, UNMAPPED) for task in graph.plan.tasks.values()))
    if (new.run_after or now) <= now:
        change(tx, key)
    else:
        tx.wake(ENGINE)
    row = tx.row(f"SELECT {RUN} FROM runs r WHERE r.key = ?", key)
    assert row is not None  # noqa: S101 - it was just written
    return run(row)


def _insert_run(tx: Transaction, digest: str, new: NewRun, now: datetime) -> int:
    run_after = new.run_after or now
    row = tx.row(
        "INSERT INTO runs (dag_id, run_id, graph, state, run_type, logical_date, run_after, data_interval_start, "
        "data_interval_end, conf, params, triggering_user_name, partition_key, note, context_carrier, created, due, "
        "moment) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (dag_id, run_id) DO NOTHING RETURNING key",
        new.dag_id,
        checked_key(new.run_id),
        digest,
        DagRunState.QUEUED.value,
        new.run_type.value,
        micros_or_none(new.logical_date),
        micros(run_after),
        micros_or_none(new.data_interval_start),
        micros_or_none(new.data_interval_end),
        pack_or_none(new.conf),
        pack_or_none(new.params),
        new.triggering_user_name,
        new.partition_key,
        new.note,
        pack_or_none(new.context_carrier),
        micros(now),
        micros(run_after) if run_after > now else None,
        micros(new.logical_date or run_after),
    )
    if row is None:
        raise Conflict("already_exists", f"flow {new.dag_id!r} has a run {new.run_id!r}")
    key: int = row[0]
    return key
