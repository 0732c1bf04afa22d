"""XComs: what tasks hand to each other."""

from protocol.messages.shape import Json
from server.faults import NotFound, Refused
from server.filters import XComName
from server.records import XCom
from server.sql.part import Part
from server.sql.rows import pack, unpack
from server.sql.transaction import Row, Transaction, Value, reads, writes
from server.sql.transitions import gone

_VALUE = "value, map_index"


class XComs(Part):
    """Handing on."""

    @writes
    def set_xcom(
        self, tx: Transaction, name: XComName, value: Json, *, mapped_length: int | None = None, by: str | None = None
    ) -> None:
        """Write a value; writing again replaces it. `by` an attempt: one that was replaced may not."""
        if not name.key or "\0" in name.key:
            raise Refused("invalid_key", "an XCom's key may not be empty or have a NUL")
        _current(tx, by)
        run_key, digest = _run(tx, name)
        if name.task_id not in self.graphs.get(tx, digest).plan.tasks:
            raise NotFound("task", name.task_id)
        text = pack(value)
        if len(text) > self.limits.inline_value:
            limit = self.limits.inline_value
            raise Refused("too_large", f"the value has {len(text)} characters; {limit} is the limit", limit=limit)
        length = len(value) if mapped_length is None and isinstance(value, list | dict) else mapped_length
        tx.run(
            "INSERT INTO xcoms (run_key, task_id, map_index, key, value, mapped_length) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (run_key, task_id, map_index, key) "
            "DO UPDATE SET value = excluded.value, mapped_length = excluded.mapped_length",
            run_key,
            name.task_id,
            name.map_index,
            name.key,
            text,
            length,
        )

    @reads
    def get_xcom(self, tx: Transaction, name: XComName, *, include_prior_dates: bool = False) -> XCom | None:
        """Give one value; with prior dates, that of the latest run up to this one which has it."""
        which = "task_id = ? AND key = ? AND map_index = ?"
        for run_key in _run_keys(tx, name, prior=include_prior_dates, which=which, values=_values(name, index=True)):
            row = tx.row(
                f"SELECT {_VALUE} FROM xcoms WHERE run_key = ? AND {which}", run_key, *_values(name, index=True)
            )
            if row is not None:
                return _xcom(name, row)
        return None

    @reads
    def get_xcoms(self, tx: Transaction, name: XComName, *, include_prior_dates: bool = False) -> list[XCom]:
        """Give the values of all map indexes in their order; slices and items are cut from this."""
        which = "task_id = ? AND key = ?"
        for run_key in _run_keys(tx, name, prior=include_prior_dates, which=which, values=_values(name, index=False)):
            sql = f"SELECT {_VALUE} FROM xcoms WHERE run_key = ? AND {which} ORDER BY map_index"
            if rows := tx.rows(sql, run_key, *_values(name, index=False)):
                return [_xcom(name, row) for row in rows]
        return []

    @reads
    def count_xcoms(self, tx: Transaction, name: XComName) -> int:
        """Give how many map indexes wrote a key."""
        row = tx.row(
            "SELECT count(*) FROM xcoms x JOIN runs r ON r.key = x.run_key "
            "WHERE r.dag_id = ? AND r.run_id = ? AND x.task_id = ? AND x.key = ?",
            name.dag_id,
            name.run_id,
            name.task_id,
            name.key,
        )
        return row[0] if row else 0

    @writes
    def delete_xcom(self, tx: Transaction, name: XComName, *, by: str | None = None) -> None:
        """Remove a value; an absent one is fine."""
        _current(tx, by)
        run_key, _ = _run(tx, name)
        tx.run(
            "DELETE FROM xcoms WHERE run_key = ? AND task_id = ? AND map_index = ? AND key = ?",
            run_key,
            name.task_id,
            name.map_index,
            name.key,
        )


def _current(tx: Transaction, ti_id: str | None) -> None:
    if ti_id is not None and tx.row("SELECT 1 FROM instances WHERE id = ?", ti_id) is None:
        raise gone(tx, ti_id)


def _run(tx: Transaction, name: XComName) -> tuple[int, str]:
    row = tx.row("SELECT key, graph FROM runs WHERE dag_id = ? AND run_id = ?", name.dag_id, name.run_id)
    if row is None:
        raise NotFound("run", f"{name.dag_id} {name.run_id}")
    return row[0], row[1]


def _values(name: XComName, *, index: bool) -> list[Value]:
    return [name.task_id, name.key, *([name.map_index] if index else [])]


def _run_keys(tx: Transaction, name: XComName, *, prior: bool, which: str, values: list[Value]) -> list[int]:
    """Give the run to read from: this one, or with prior dates the latest one up to it that has a value."""
    row = tx.row("SELECT key, moment FROM runs WHERE dag_id = ? AND run_id = ?", name.dag_id, name.run_id)
    if row is None or not prior:
        return [row[0]] if row else []
    found = tx.row(
        "SELECT r.key FROM runs r WHERE r.dag_id = ? AND r.moment <= ? "
        f"AND EXISTS (SELECT 1 FROM xcoms x WHERE x.run_key = r.key AND {which}) "
        "ORDER BY r.moment DESC, r.key DESC LIMIT 1",
        name.dag_id,
        row[1],
        *values,
    )
    return [found[0]] if found else []


def _xcom(name: XComName, row: Row) -> XCom:
    return XCom(key=name.key, value=unpack(row[0]), map_index=row[1])
