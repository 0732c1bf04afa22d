"""Variables, connections, and the task state store."""

from datetime import datetime

import msgspec

from protocol.messages.shape import Json
from server.faults import Refused
from server.records import Connection, Variable
from server.sql.part import Part
from server.sql.rows import micros, micros_or_none, pack, unpack
from server.sql.transaction import Transaction, reads, writes
from server.sql.transitions import gone


def checked_key(key: str) -> str:
    """Refuse what no database keeps alike."""
    if not key or "\0" in key:
        raise Refused("invalid_key", "a key may not be empty or have a NUL")
    return key


class Values(Part):
    """Small things kept by name."""

    @reads
    def get_variable(self, tx: Transaction, key: str) -> Variable | None:
        """Give a variable."""
        row = tx.row("SELECT value, sealed, description FROM variables WHERE key = ?", key)
        if row is None:
            return None
        return Variable(key=key, value=self.seal.open(row[0], row[1], f"variable {key!r}"), description=row[2])

    @writes
    def set_variable(self, tx: Transaction, key: str, value: str | None, description: str | None) -> None:
        """Write a variable."""
        tx.run(
            "INSERT INTO variables (key, value, sealed, description) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE "
            "SET value = excluded.value, sealed = excluded.sealed, description = excluded.description",
            checked_key(key),
            *self.seal.close(value),
            description,
        )

    @writes
    def delete_variable(self, tx: Transaction, key: str) -> bool:
        """Remove a variable; says whether it was there."""
        return tx.run("DELETE FROM variables WHERE key = ?", key) > 0

    @reads
    def variable_keys(self, tx: Transaction, prefix: str | None, limit: int, offset: int) -> tuple[list[str], int]:
        """Give a page of keys in their order, and how many there are in all."""
        start = prefix or ""
        which = "WHERE substr(key, 1, ?) = ?"
        row = tx.row(f"SELECT count(*) FROM variables {which}", len(start), start)
        keys = tx.rows(
            f"SELECT key FROM variables {which} ORDER BY key LIMIT ? OFFSET ?", len(start), start, limit, offset
        )
        return [key for (key,) in keys], row[0] if row else 0

    @reads
    def get_connection(self, tx: Transaction, conn_id: str) -> Connection | None:
        """Give a connection."""
        row = tx.row("SELECT connection, sealed FROM connections WHERE conn_id = ?", conn_id)
        if row is None:
            return None
        return msgspec.json.decode(self.seal.open(row[0], row[1], f"connection {conn_id!r}") or "", type=Connection)

    @writes
    def set_connection(self, tx: Transaction, connection: Connection) -> None:
        """Write a connection."""
        tx.run(
            "INSERT INTO connections (conn_id, connection, sealed) VALUES (?, ?, ?) "
            "ON CONFLICT (conn_id) DO UPDATE SET connection = excluded.connection, sealed = excluded.sealed",
            checked_key(connection.conn_id),
            *self.seal.close(pack(connection)),
        )

    @writes
    def delete_connection(self, tx: Transaction, conn_id: str) -> bool:
        """Remove a connection; says whether it was there."""
        return tx.run("DELETE FROM connections WHERE conn_id = ?", conn_id) > 0

    @reads
    def connection_ids(self, tx: Transaction) -> list[str]:
        """Give the ids of all connections."""
        return [conn_id for (conn_id,) in tx.rows("SELECT conn_id FROM connections ORDER BY conn_id")]

    @writes
    def seal_anew(self, tx: Transaction) -> int:
        """Seal what is plain or under an older key; gives how many are sealed and opened by no key. Those stay."""
        closed = 0
        for table, name, column in (("variables", "key", "value"), ("connections", "conn_id", "connection")):
            sql = f"SELECT i.{name}, i.{column}, i.sealed FROM {table} i ORDER BY i.{name}{tx.lock}"
            for key, text, sealed in tx.rows(sql):
                if sealed and not self.seal.opens(text):
                    closed += 1
                elif not self.seal.is_current(text, sealed):
                    now = self.seal.close(self.seal.open(text, sealed, key))
                    tx.run(f"UPDATE {table} SET {column} = ?, sealed = ? WHERE {name} = ?", *now, key)
        return closed

    @reads
    def get_state(self, tx: Transaction, ti_id: str, key: str, now: datetime) -> Json | None:
        """Give a value of the task state store; None when missing or expired. It is shared by all attempts."""
        row = tx.row(
            "SELECT value FROM task_values WHERE instance_key = ? AND key = ? AND (expires IS NULL OR expires > ?)",
            _key(tx, ti_id),
            key,
            micros(now),
        )
        return None if row is None else unpack(row[0])

    @writes
    def set_state(self, tx: Transaction, ti_id: str, key: str, value: Json, expires: datetime | None) -> None:
        """Write a value of the task state store; one that expires is gone from then on."""
        text = pack(value)
        if len(text) > self.limits.inline_value:
            limit = self.limits.inline_value
            raise Refused("too_large", f"the value has {len(text)} characters; {limit} is the limit", limit=limit)
        tx.run(
            "INSERT INTO task_values (instance_key, key, value, expires) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (instance_key, key) DO UPDATE SET value = excluded.value, expires = excluded.expires",
            _key(tx, ti_id),
            checked_key(key),
            text,
            micros_or_none(expires),
        )

    @writes
    def delete_state(self, tx: Transaction, ti_id: str, key: str | None) -> None:
        """Remove one value, or all of them."""
        which, values = ("", ()) if key is None else (" AND key = ?", (key,))
        tx.run(f"DELETE FROM task_values WHERE instance_key = ?{which}", _key(tx, ti_id), *values)


def _key(tx: Transaction, ti_id: str) -> int:
    row = tx.row("SELECT key FROM instances WHERE id = ?", ti_id)
    if row is None:
        raise gone(tx, ti_id)
    key: int = row[0]
    return key
