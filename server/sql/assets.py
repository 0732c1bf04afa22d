"""Assets: what tasks read and write, the events that say so, and each asset's own store."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from protocol.messages.shape import Json
from server.faults import Refused
from server.filters import AssetEventFilter
from server.outcomes import OutletEvent
from server.records import Asset, AssetEvent, Instance
from server.sql.part import Part
from server.sql.rows import micros, micros_or_none, moment, pack, pack_or_none, unpack
from server.sql.transaction import Row, Transaction, Value, marks, reads, writes
from server.sql.values import checked_key

_ASSET = "a.key, a.name, a.uri, a.group_name, a.extra"
_EVENT = "e.id, e.at, e.extra, e.source_dag_id, e.source_run_id, e.source_task_id, e.source_map_index, e.partition_key"


class Assets(Part):
    """Assets."""

    @reads
    def get_asset(self, tx: Transaction, *, name: str | None = None, uri: str | None = None) -> Asset | None:
        """Find an asset by its name, its URI, or both."""
        return _find(tx, name, uri)

    @reads
    def assets_of_alias(self, tx: Transaction, alias: str) -> list[Asset]:
        """Give the assets an alias stands for."""
        sql = f"SELECT {_ASSET} FROM assets a JOIN asset_aliases l ON l.asset_key = a.key WHERE l.alias = ?"
        return [_asset(row) for row in tx.rows(f"{sql} ORDER BY a.name", alias)]

    @writes
    def set_asset(
        self, tx: Transaction, name: str, uri: str, group: str = "asset", extra: dict[str, Any] | None = None
    ) -> Asset:
        """Make an asset known, or change what is known of it."""
        return _put(tx, Asset(key=0, name=name, uri=uri, group=group, extra=extra))

    @reads
    def asset_events(self, tx: Transaction, which: AssetEventFilter) -> list[AssetEvent]:
        """Give the events of these assets."""
        if not which.assets:
            return []
        sql = f"SELECT {_ASSET}, {_EVENT} FROM asset_events e JOIN assets a ON a.key = e.asset_key "
        sql += f"WHERE e.asset_key IN ({marks(which.assets)})"
        values: list[Value] = [*which.assets]
        for condition, value in (
            ("e.at >= ?", micros_or_none(which.after)),
            ("e.at <= ?", micros_or_none(which.before)),
            ("e.partition_key = ?", which.partition_key),
        ):
            if value is not None:
                sql += f" AND {condition}"
                values.append(value)
        order = "ASC" if which.ascending else "DESC"
        sql += f" ORDER BY e.at {order}, e.id {order}"
        if which.limit is not None:
            sql += " LIMIT ?"
            values.append(which.limit)
        return [_event(row) for row in tx.rows(sql, *values)]

    @reads
    def get_asset_state(self, tx: Transaction, asset: int, key: str) -> Json | None:
        """Give a value of an asset's store; None when missing."""
        row = tx.row("SELECT value FROM asset_values WHERE asset_key = ? AND key = ?", asset, key)
        return None if row is None else unpack(row[0])

    @writes
    def set_asset_state(self, tx: Transaction, asset: int, key: str, value: Json) -> None:
        """Write a value of an asset's store."""
        text = pack(value)
        if len(text) > self.limits.inline_value:
            limit = self.limits.inline_value
            raise Refused("too_large", f"the value has {len(text)} characters; {limit} is the limit", limit=limit)
        tx.run(
            "INSERT INTO asset_values (asset_key, key, value) VALUES (?, ?, ?) "
            "ON CONFLICT (asset_key, key) DO UPDATE SET value = excluded.value",
            asset,
            checked_key(key),
            text,
        )

    @writes
    def delete_asset_state(self, tx: Transaction, asset: int, key: str | None) -> None:
        """Remove one value of an asset's store, or all of them."""
        which, values = ("", ()) if key is None else (" AND key = ?", (key,))
        tx.run(f"DELETE FROM asset_values WHERE asset_key = ?{which}", asset, *values)


def _find(tx: Transaction, name: str | None, uri: str | None) -> Asset | None:
    asked = {"a.name": name, "a.uri": uri}
    given = {column: value for column, value in asked.items() if value is not None}
    if not given:
        return None
    conditions = " AND ".join(f"{column} = ?" for column in given)
    row = tx.row(f"SELECT {_ASSET} FROM assets a WHERE {conditions}", *given.values())
    return None if row is None else _asset(row)


def _put(tx: Transaction, asset: Asset) -> Asset:
    """Write an asset under its name. Another one that has its URI is a mistake of whoever names them."""
    other = tx.row("SELECT name FROM assets WHERE uri = ? AND name <> ?", asset.uri, asset.name)
    if other is not None:
        raise Refused("value_error", f"the URI {asset.uri!r} is that of asset {other[0]!r}")
    row = tx.row(
        "INSERT INTO assets (name, uri, group_name, extra) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET uri = excluded.uri, group_name = excluded.group_name, extra = excluded.extra "
        "RETURNING key, name, uri, group_name, extra",
        checked_key(asset.name),
        asset.uri,
        asset.group,
        pack_or_none(asset.extra),
    )
    assert row is not None  # noqa: S101 - an upsert gives its row
    return _asset(row)


def register_outlets(tx: Transaction, it: Instance, outlets: Iterable[OutletEvent], now: datetime) -> None:
    """Record what a successful attempt changed, in the transaction of its success. Unknown assets become known."""
    for outlet in outlets:
        name, uri = outlet.name or outlet.uri, outlet.uri or outlet.name
        if name is None or uri is None:
            raise Refused("value_error", "an outlet has neither a name nor a URI")
        asset = _find(tx, outlet.name, outlet.uri) or _put(
            tx, Asset(key=0, name=name, uri=uri, group="asset", extra=None)
        )
        tx.run(
            "INSERT INTO asset_events (asset_key, at, extra, source_dag_id, source_run_id, source_task_id, "
            "source_map_index, partition_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            asset.key,
            micros(now),
            pack_or_none(outlet.extra),
            it.dag_id,
            it.run_id,
            it.task_id,
            it.map_index,
            outlet.partition_key,
        )


def _asset(row: Row) -> Asset:
    return Asset(key=row[0], name=row[1], uri=row[2], group=row[3], extra=unpack(row[4]))


def _event(row: Row) -> AssetEvent:
    return AssetEvent(
        id=row[5],
        asset=_asset(row),
        timestamp=moment(row[6]),
        extra=unpack(row[7]),
        source_dag_id=row[8],
        source_run_id=row[9],
        source_task_id=row[10],
        source_map_index=row[11],
        partition_key=row[12],
    )
