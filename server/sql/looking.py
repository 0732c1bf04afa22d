"""Looking at runs and instances: lists, counts and what came before."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from protocol.flows import FlowGraph
from server.filters import WHOLE, InstanceFilter, RunFilter, Tail
from server.records import Attempt, Event, Instance, Run
from server.sql.part import Part
from server.sql.rows import (
    ATTEMPT,
    FROM_INSTANCES,
    INSTANCE,
    INSTANCE_WIDTH,
    RUN,
    attempt,
    instance,
    micros,
    moment,
    run,
    unpack,
)
from server.sql.transaction import Transaction, Value, marks, reads
from server.sql.transitions import gone

_FIRST_ID, _LAST_ID = (str(UUID(int=number)) for number in (0, (1 << 128) - 1))
"""All ids have one form, so any collation sorts them alike, and a prefix is a range of the index."""
_NAMED = "r.dag_id = ? AND r.run_id = ? AND i.task_id = ? AND i.map_index = ?"


class _Where(Struct):
    """Conditions that have to hold together."""

    conditions: list[str]
    values: list[Value]

    def equal(self, column: str, value: Value) -> None:
        """Ask for one value, if one is given."""
        if value is not None:
            self.conditions.append(f"{column} = ?")
            self.values.append(value)

    def among(self, column: str, values: Sequence[Value] | None) -> None:
        """Ask for one of these, if any are given. An empty list fits nothing."""
        if values is not None:
            self.conditions.append(f"{column} IN ({marks(values)})" if values else "1 = 0")
            self.values.extend(values)

    @property
    def sql(self) -> str:
        """The clause."""
        return f" WHERE {' AND '.join(self.conditions)}" if self.conditions else ""


def _moments(moments: list[datetime] | None) -> list[int] | None:
    return None if moments is None else [micros(one) for one in moments]


def _which_runs(which: RunFilter) -> _Where:
    where = _Where([], [])
    where.equal("r.dag_id", which.dag_id)
    where.among("r.run_id", which.run_ids)
    where.among("r.logical_date", _moments(which.logical_dates))
    where.among("r.state", which.states)
    return where


def _which_instances(which: InstanceFilter) -> _Where:
    where = _Where([], [])
    where.equal("r.dag_id", which.dag_id)
    where.among("r.run_id", which.run_ids)
    where.among("r.logical_date", _moments(which.logical_dates))
    where.among("i.task_id", which.task_ids)
    where.equal("i.map_index", which.map_index)
    where.among("i.state", which.states)
    where.equal("i.worker", which.worker)
    return where


class Looking(Part):
    """Only reading."""

    @reads
    def run(self, tx: Transaction, dag_id: str, run_id: str) -> Run | None:
        """Find a run."""
        row = tx.row(f"SELECT {RUN} FROM runs r WHERE r.dag_id = ? AND r.run_id = ?", dag_id, run_id)
        return None if row is None else run(row)

    @reads
    def graph(self, tx: Transaction, dag_id: str, run_id: str) -> FlowGraph | None:
        """Give the graph this run was submitted with."""
        row = tx.row("SELECT graph FROM runs WHERE dag_id = ? AND run_id = ?", dag_id, run_id)
        return None if row is None else self.graphs.get(tx, row[0]).graph

    @reads
    def runs(self, tx: Transaction, which: RunFilter, *, limit: int = 100, offset: int = 0) -> list[Run]:
        """Newest first."""
        where = _which_runs(which)
        sql = f"SELECT {RUN} FROM runs r{where.sql} ORDER BY r.key DESC LIMIT ? OFFSET ?"
        return [run(row) for row in tx.rows(sql, *where.values, limit, offset)]

    @reads
    def count_runs(self, tx: Transaction, which: RunFilter) -> int:
        """Give how many runs fit."""
        where = _which_runs(which)
        row = tx.row(f"SELECT count(*) FROM runs r{where.sql}", *where.values)
        return row[0] if row else 0

    @reads
    def counts(self, tx: Transaction, runs: Sequence[Run]) -> list[dict[str, int]]:
        """Give for each of these runs how many of its instances are in which state."""
        found: dict[int, dict[str, int]] = {each.key: {} for each in runs}
        which = f"WHERE run_key IN ({marks(list(found))})" if found else "WHERE 1 = 0"
        sql = f"SELECT run_key, state, count(*) FROM instances {which} GROUP BY run_key, state"
        for key, state, count in tx.rows(sql, *found):
            found[key][state] = count
        return list(found.values())

    @reads
    def previous_run(self, tx: Transaction, dag_id: str, logical_date: datetime, state: str | None) -> Run | None:
        """Give the run with the latest logical date before this one."""
        where = _Where(["r.dag_id = ?", "r.logical_date < ?"], [dag_id, micros(logical_date)])
        where.equal("r.state", state)
        row = tx.row(f"SELECT {RUN} FROM runs r{where.sql} ORDER BY r.logical_date DESC LIMIT 1", *where.values)
        return None if row is None else run(row)

    @reads
    def previous_success(self, tx: Transaction, ti_id: str) -> Run | None:
        """Give the last successful run before this attempt's own."""
        row = tx.row(
            "SELECT r.dag_id, r.moment FROM instances i JOIN runs r ON r.key = i.run_key WHERE i.id = ?", ti_id
        )
        if row is None:
            raise gone(tx, ti_id)
        found = tx.row(
            f"SELECT {RUN} FROM runs r WHERE r.dag_id = ? AND r.moment < ? AND r.state = 'success' "
            "ORDER BY r.moment DESC LIMIT 1",
            *row,
        )
        return None if found is None else run(found)

    @reads
    def instances(self, tx: Transaction, which: InstanceFilter, *, limit: int = 100, offset: int = 0) -> list[Instance]:
        """Newest runs first, and within a run in the order of creation."""
        where = _which_instances(which)
        sql = f"SELECT {INSTANCE} {FROM_INSTANCES}{where.sql} ORDER BY i.run_key DESC, i.key LIMIT ? OFFSET ?"
        return [instance(row) for row in tx.rows(sql, *where.values, limit, offset)]

    @reads
    def count_instances(self, tx: Transaction, which: InstanceFilter) -> int:
        """Give how many instances fit."""
        where = _which_instances(which)
        row = tx.row(f"SELECT count(*) {FROM_INSTANCES}{where.sql}", *where.values)
        return row[0] if row else 0

    @reads
    def instance_states(self, tx: Transaction, which: InstanceFilter) -> list[tuple[str, str, int, str]]:
        """Give (run_id, task_id, map_index, state)."""
        where = _which_instances(which)
        sql = f"SELECT r.run_id, i.task_id, i.map_index, i.state {FROM_INSTANCES}{where.sql} ORDER BY i.key"
        return [(run_id, task_id, index, state) for run_id, task_id, index, state in tx.rows(sql, *where.values)]

    @reads
    def previous_instance(
        self,
        tx: Transaction,
        dag_id: str,
        task_id: str,
        logical_date: datetime | None,
        map_index: int,
        state: str | None,
    ) -> tuple[Instance, Run] | None:
        """Give the instance of the latest earlier run that fits, with its run."""
        where = _Where(["r.dag_id = ?", "i.task_id = ?", "i.map_index = ?"], [dag_id, task_id, map_index])
        where.equal("i.state", state)
        if logical_date is not None:
            where.conditions.append("r.logical_date < ?")
            where.values.append(micros(logical_date))
        row = tx.row(
            f"SELECT {INSTANCE}, {RUN} {FROM_INSTANCES}{where.sql} ORDER BY r.moment DESC LIMIT 1", *where.values
        )
        return None if row is None else (instance(row), run(row[INSTANCE_WIDTH:]))

    @reads
    def find(self, tx: Transaction, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Instance | None:
        """Find an instance by its names."""
        row = tx.row(f"SELECT {INSTANCE} {FROM_INSTANCES} WHERE {_NAMED}", dag_id, run_id, task_id, map_index)
        return None if row is None else instance(row)

    @reads
    def attempt(self, tx: Transaction, ti_id: str) -> Attempt | None:
        """Find an attempt by its id, replaced or not."""
        row = tx.row(f"SELECT {_CURRENT} {FROM_INSTANCES} WHERE i.id = ?", ti_id)
        if row is not None:
            return attempt(row, current=True)
        row = tx.row(f"SELECT {ATTEMPT} {_ARCHIVED} WHERE a.id = ?", ti_id)
        return None if row is None else attempt(row, current=False)

    @reads
    def attempts(
        self, tx: Transaction, dag_id: str, run_id: str, task_id: str, map_index: int = -1, *, tail: Tail = WHOLE
    ) -> list[Attempt]:
        """Give the last attempts of an instance but so many, oldest first, the current one last."""
        name = (dag_id, run_id, task_id, map_index)
        # Whatever is there has one current attempt, the newest.
        current = [] if tail.offset else tx.rows(f"SELECT {_CURRENT} {FROM_INSTANCES} WHERE {_NAMED}", *name)
        archived = tx.rows(
            f"SELECT {ATTEMPT} {_ARCHIVED} WHERE {_NAMED} ORDER BY a.archived DESC, a.id DESC LIMIT ? OFFSET ?",
            *name,
            tail.limit - len(current),
            max(tail.offset - 1, 0),
        )
        found = [attempt(row, current=False) for row in reversed(archived)]
        return found + [attempt(row, current=True) for row in current]

    @reads
    def count_story(
        self, tx: Transaction, dag_id: str, run_id: str, task_id: str, map_index: int = -1
    ) -> tuple[int, int]:
        """Give how many attempts an instance has had, and how many lines its story has."""
        row = tx.row(
            "SELECT (SELECT count(*) FROM attempts a WHERE a.instance_key = i.key), "
            f"(SELECT count(*) FROM events e WHERE e.instance_key = i.key) {FROM_INSTANCES} WHERE {_NAMED}",
            dag_id,
            run_id,
            task_id,
            map_index,
        )
        return (0, 0) if row is None else (row[0] + 1, row[1])

    @reads
    def attempts_like(self, tx: Transaction, prefix: str, limit: int) -> list[Attempt]:
        """Find attempts, replaced or not, by the beginning of their id."""
        first, last = prefix + _FIRST_ID[len(prefix) :], prefix + _LAST_ID[len(prefix) :]
        sql = "{0} WHERE {1}.id BETWEEN ? AND ? ORDER BY {1}.id LIMIT ?"
        current = tx.rows(f"SELECT {_CURRENT} " + sql.format(FROM_INSTANCES, "i"), first, last, limit)
        archived = tx.rows(f"SELECT {ATTEMPT} " + sql.format(_ARCHIVED, "a"), first, last, limit)
        found = [attempt(row, current=True) for row in current] + [attempt(row, current=False) for row in archived]
        return found[:limit]

    @reads
    def timeline(
        self, tx: Transaction, dag_id: str, run_id: str, task_id: str, map_index: int = -1, *, tail: Tail = WHOLE
    ) -> list[Event]:
        """Give the story of an instance, oldest first: the last lines of it but so many."""
        rows = tx.rows(
            "SELECT e.id, e.attempt_id, e.try_number, e.at, e.what, e.why, e.detail FROM events e "
            f"JOIN instances i ON i.key = e.instance_key JOIN runs r ON r.key = i.run_key WHERE {_NAMED} "
            "ORDER BY e.id DESC LIMIT ? OFFSET ?",
            dag_id,
            run_id,
            task_id,
            map_index,
            tail.limit,
            tail.offset,
        )
        return [
            Event(
                id=row[0],
                attempt_id=row[1],
                try_number=row[2],
                at=moment(row[3]),
                what=row[4],
                why=row[5],
                detail=unpack(row[6]),
            )
            for row in reversed(rows)
        ]

    @reads
    def state_counts(self, tx: Transaction) -> dict[str, int]:
        """Give how many unfinished instances are in each state, for `/metrics`."""
        return dict(
            tx.rows(
                # CROSS JOIN is how SQLite is told to begin with the few runs, and not with all instances.
                "SELECT i.state, count(*) FROM runs r CROSS JOIN instances i "
                "WHERE r.state IN ('queued', 'running') AND i.run_key = r.key "
                "AND i.state NOT IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed') GROUP BY i.state"
            )
        )


_CURRENT = ATTEMPT.replace("a.", "i.")
_ARCHIVED = "FROM attempts a JOIN instances i ON i.key = a.instance_key JOIN runs r ON r.key = i.run_key"
