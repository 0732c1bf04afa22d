"""SQLite: one file, one writer, and a commit for many.

SQLite lets one connection write at a time, so one thread has it, and whoever wants to write stands in line. The thread
takes all that stand there, runs each in a savepoint of its own, and commits them together: the cost of one
`fsync` is shared by as many as came while the last one was under way. Nobody is answered before the commit.

`synchronous=FULL` is the default, because an answer means *durable*: a commit survives the loss of power, not only of
the process (for which NORMAL would do). With a shared commit it costs little (docs/decisions/0005).

Reading goes past the writer, on connections of their own: WAL gives each a consistent view that no writer disturbs.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, cast

from server.faults import Refused, StoreBroken, StoreError, StoreFull, StoreLocked
from server.sql.bell import Bell
from server.sql.migrating import migrate, migrations
from server.sql.transaction import R, Row, Value, Work

_WORDS = {"SERIAL_KEY": "INTEGER PRIMARY KEY", "UNREPEATED_KEY": "INTEGER PRIMARY KEY AUTOINCREMENT"}
_TOGETHER = 128
"""At most so many share a commit: a bound on how long the first of them waits for the last."""
_PATIENCE_S = 10.0
"""For another process that has the file locked: a backup, a person with a shell. A worker asks again, for a lease."""


class SqliteTransaction:
    """One transaction on a connection."""

    lock = ""
    lock_free = ""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.woken: set[str] = set()

    def rows(self, sql: str, *values: Value) -> list[Row]:
        """Give all rows."""
        return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Value) -> Row | None:
        """Give the first row."""
        return cast("Row | None", self._connection.execute(sql, values).fetchone())

    def run(self, sql: str, *values: Value) -> int:
        """Give how many rows were changed."""
        return self._connection.execute(sql, values).rowcount

    def many(self, sql: str, values: Iterable[Sequence[Value]]) -> None:
        """Run a statement for each."""
        self._connection.executemany(sql, values)

    def apart(self, part: Callable[[], object]) -> Exception | None:
        """Run a part under a savepoint."""
        self._connection.execute("SAVEPOINT part")
        try:
            part()
        except sqlite3.Error:
            raise
        except Exception as fault:  # noqa: BLE001 - a bug of ours or a damaged row: the others are not to suffer
            self._connection.execute("ROLLBACK TO part")
            self._connection.execute("RELEASE part")
            return fault
        self._connection.execute("RELEASE part")
        return None

    def wake(self, whom: str) -> None:
        """Leave a wake-up for after the commit."""
        self.woken.add(whom)


class _Asked(NamedTuple):
    work: Work[Any]
    future: "asyncio.Future[Any]"


class _Done(NamedTuple):
    future: "asyncio.Future[Any]"
    result: Any
    fault: Exception | None


_Line = SimpleQueue["_Asked | None"]


class SqliteDatabase:
    """A file."""

    def __init__(
        self, path: Path, *, synchronous: str = "FULL", readers: int = 2, patience_s: float = _PATIENCE_S
    ) -> None:
        self._path = path
        self._synchronous = synchronous
        self._readers = readers
        self._patience_s = patience_s
        self._bell = Bell()
        self._writing: _Line = SimpleQueue()
        self._reading: _Line = SimpleQueue()
        self._threads: list[Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Connect, and bring the schema up to date."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._prepare)
        except BaseException:
            self._loop = None
            raise
        self._threads = [Thread(target=self._write_all, name="sqlite-writer", daemon=True)]
        self._threads += [
            Thread(target=self._read_all, name=f"sqlite-reader-{number}", daemon=True)
            for number in range(self._readers)
        ]
        for thread in self._threads:
            thread.start()

    async def close(self) -> None:
        """Finish what was asked for, and let go."""
        threads, self._threads = self._threads, []
        if not threads:
            return
        self._writing.put(None)
        for _ in range(self._readers):
            self._reading.put(None)
        for thread in threads:
            await asyncio.to_thread(thread.join)
        self._loop = None
        self._bell.ring_all()

    async def write(self, work: Work[R]) -> R:
        """Run and commit; it is durable when this returns."""
        return await self._ask(self._writing, work)

    async def read(self, work: Work[R]) -> R:
        """Run on one consistent view."""
        return await self._ask(self._reading, work)

    def seen(self, whom: Sequence[str]) -> int:
        """Give a number that a later wake-up of any of these exceeds."""
        del whom
        return self._bell.seen

    async def wait(self, whom: Sequence[str], seen: int, seconds: float) -> bool:
        """Return when one of these was woken after `seen`, or after so many seconds (then False)."""
        return await self._bell.wait(whom, seen, seconds)

    async def _ask(self, line: _Line, work: Work[R]) -> R:
        if self._loop is None or not self._threads:
            raise StoreBroken("the store is not open")
        future: asyncio.Future[R] = self._loop.create_future()
        line.put(_Asked(work, future))
        return await future

    # --- in the threads -----------------------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=self._patience_s, cached_statements=512)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("PRAGMA temp_store = MEMORY")
        # Four times the default: a checkpoint waits for the disk twice, and most pages of it are written again soon.
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        return connection

    def _prepare(self) -> None:
        try:
            connection = self._connect()
        except sqlite3.Error as error:
            raise StoreBroken(f"cannot open {self._path}: {error}") from error
        try:
            connection.execute("BEGIN IMMEDIATE")
            migrate(SqliteTransaction(connection), _WORDS, migrations())
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreBroken(f"cannot prepare {self._path}: {error}") from error
        finally:
            connection.close()

    def _write_all(self) -> None:
        connection = self._connect()
        going_on = True
        while going_on:
            batch: list[_Asked] = []
            first = self._writing.get()
            going_on = first is not None
            if first is not None:
                batch.append(first)
                going_on = _drain(self._writing, batch)
            if batch:
                done, woken = _commit(connection, batch)
                if isinstance(done[0].fault, StoreLocked) and going_on:
                    # Who came meanwhile has waited for the same; each batch by itself would wait as long again.
                    late: list[_Asked] = []
                    going_on = _drain(self._writing, late, self._writing.qsize())
                    done += [_Done(asked.future, None, done[0].fault) for asked in late]
                self._deliver(done, woken)
        connection.close()

    def _read_all(self) -> None:
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        while (asked := self._reading.get()) is not None:
            tx = SqliteTransaction(connection)
            done = _attempt(asked, partial(_view, connection, asked.work, tx))
            self._deliver([done], set())
        connection.close()

    def _deliver(self, done: list[_Done], woken: set[str]) -> None:
        """Hand a whole commit over to the loop with one wake-up of it."""
        with suppress(RuntimeError):  # the loop is closed: whoever asked is gone
            done[0].future.get_loop().call_soon_threadsafe(self._settle, done, woken)

    def _settle(self, done: list[_Done], woken: set[str]) -> None:
        for future, result, fault in done:
            if future.done():
                continue
            if fault is None:
                future.set_result(result)
            else:
                future.set_exception(fault)
        if woken:
            self._bell.ring(woken)


def _drain(line: _Line, batch: list[_Asked], most: int = _TOGETHER) -> bool:
    """Take those who stand in line by now; False when one of them is the end."""
    try:
        while len(batch) < most:
            asked = line.get_nowait()
            if asked is None:
                return False
            batch.append(asked)
    except Empty:
        pass
    return True


def _commit(connection: sqlite3.Connection, batch: list[_Asked]) -> tuple[list[_Done], set[str]]:
    """Run all and commit once. When the commit itself fails, all of them failed."""
    done: list[_Done] = []
    woken: set[str] = set()
    try:
        connection.execute("BEGIN IMMEDIATE")
        for asked in batch:
            tx = SqliteTransaction(connection)
            done.append(_attempt(asked, partial(_savepoint, connection, asked.work, tx)))
            woken |= tx.woken
            if not connection.in_transaction:  # a full disk makes SQLite roll back all of it by itself
                raise sqlite3.OperationalError("the database rolled back")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        with suppress(sqlite3.Error):  # it may have rolled back by itself
            connection.execute("ROLLBACK")
        full = next((each.fault for each in done if isinstance(each.fault, StoreFull)), None)
        fault = full or _broken(f"the commit failed: {error}", error)
        return [_Done(asked.future, None, fault) for asked in batch], set()
    return done, woken


def _broken(words: str, error: sqlite3.Error) -> StoreBroken:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return {sqlite3.SQLITE_FULL: StoreFull, sqlite3.SQLITE_BUSY: StoreLocked}.get(code, StoreBroken)(words)


def _savepoint(connection: sqlite3.Connection, work: Work[R], tx: SqliteTransaction) -> R:
    connection.execute("SAVEPOINT one")
    try:
        result = work(tx)
    except BaseException:
        tx.woken.clear()
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        raise
    connection.execute("RELEASE one")
    return result


def _view(connection: sqlite3.Connection, work: Work[R], tx: SqliteTransaction) -> R:
    connection.execute("BEGIN")
    try:
        return work(tx)
    finally:
        connection.execute("COMMIT")


def _attempt(asked: _Asked, run: Callable[[], Any]) -> _Done:
    """Catch everything in one place: an error of one must not reach those it shares a commit with."""
    try:
        return _Done(asked.future, run(), None)
    except StoreError as error:
        return _Done(asked.future, None, error)
    except (OverflowError, UnicodeEncodeError, sqlite3.DataError) as error:
        return _Done(asked.future, None, Refused("value_error", f"it cannot be stored: {error}"))
    except sqlite3.Error as error:
        return _Done(asked.future, None, _broken(str(error), error))
    except Exception as error:  # noqa: BLE001 - a bug of ours: who asked gets it, and the writer lives on
        return _Done(asked.future, None, error)
