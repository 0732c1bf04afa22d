"""Which database a name means, and the store over it. A driver's library is imported only when it is the one."""

from importlib import import_module
from pathlib import Path

from server.sealing import Seal
from server.sql.part import Limits
from server.sql.store import store_over
from server.store import Store

POSTGRES = ("postgresql://", "postgres://")
SQLITE = "sqlite:///"


class UnknownDatabase(ValueError):
    """A name that means no database we know."""


def store_at(where: str, *, lease_s: float, seal: Seal) -> Store:
    """Make a store, not yet open: over a file, or over a PostgreSQL URL."""
    limits = Limits(claim_lease=lease_s, lease=lease_s)
    if where.startswith(POSTGRES):
        # By name, so that SQLite alone needs no driver of PostgreSQL.
        return store_over(import_module("server.postgres").PostgresDatabase(where), limits, seal)
    path = where.removeprefix(SQLITE)
    if "://" in path:
        raise UnknownDatabase(
            f"{path.partition('://')[0]!r} is no database we know: give a file or a postgresql:// URL"
        )
    sqlite = import_module("server.sqlite")
    return store_over(sqlite.SqliteDatabase(Path(path)), limits, seal)
