"""The server's database: the server's own SQL on an in-memory SQLite, which outlives the server.

The connection is made once for a process and kept: a history is one transaction that is taken back at its end, and what
the server commits is a savepoint in it. So no history pays for the schema, nor for preparing statements.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import cache

from server.faults import StoreFull
from server.sql.bell import Bell
from server.sql.migrating import migrate, migrations
from server.sql.transaction import R, Row, Value, Work
from server.sqlite import _WORDS, SqliteTransaction
from tests.simulation.world import Party, World

COMMIT_S = 0.003


@cache
def connection() -> sqlite3.Connection:
    """Give the connection of this process, with the schema."""
    made = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512)
    made.execute("BEGIN")
    migrate(SqliteTransaction(made), _WORDS, migrations())
    made.execute("COMMIT")
    return made


class Storage:
    """What is on the server's disk."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.connection = connection()
        self.full_until = 0.0
        self.on_commit: Callable[[], None] = lambda: None
        self._changes = self.connection.total_changes
        self.connection.execute("BEGIN")

    def committed(self) -> None:
        """Have it looked at, if anything is different."""
        changes = self.connection.total_changes
        if changes != self._changes:
            self._changes = changes
            self.on_commit()

    def discard(self) -> None:
        """Take the history back."""
        self.connection.execute("ROLLBACK")

    def rows(self, sql: str, *values: Value) -> list[Row]:
        """Look into it, past the server."""
        return self.connection.execute(sql, values).fetchall()


class Database:
    """As `server.sql.transaction.Database`: for one life of a server."""

    def __init__(self, storage: Storage, server: Party) -> None:
        self._storage = storage
        self._server = server
        self._bell = Bell()

    async def open(self) -> None:
        """It is open."""

    async def close(self) -> None:
        """It stays as it is."""

    async def write(self, work: Work[R]) -> R:
        """Run and commit, at some moment: before it nothing has happened, after it all has."""
        await asyncio.sleep(self._storage.world.between(0, COMMIT_S))
        if self._storage.world.now < self._storage.full_until:
            raise StoreFull("database or disk is full")
        tx = SqliteTransaction(self._storage.connection)
        self._storage.connection.execute("SAVEPOINT one")
        try:
            result = work(tx)
        except BaseException:
            self._storage.connection.execute("ROLLBACK TO one")
            self._storage.connection.execute("RELEASE one")
            raise
        self._storage.connection.execute("RELEASE one")
        self._storage.committed()
        if tx.woken:
            self._bell.ring(tx.woken)
        # The answer comes in a step of its own: a server may die between a commit and its answer.
        await asyncio.sleep(0)
        return result

    async def read(self, work: Work[R]) -> R:
        """Run on one view."""
        return work(SqliteTransaction(self._storage.connection))

    def seen(self, whom: Sequence[str]) -> int:
        """Give a number that a later wake-up exceeds."""
        del whom
        return self._bell.seen

    async def wait(self, whom: Sequence[str], seen: int, seconds: float) -> bool:
        """Wait for a wake-up."""
        return await self._bell.wait(whom, seen, seconds)
