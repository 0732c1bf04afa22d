import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from server.faults import NewerSchema, StoreBroken, StoreLocked
from server.sql.part import Limits
from server.sql.store import store_over
from server.sql.transaction import Transaction, Work
from server.sqlite import SqliteDatabase
from server.store import Store
from tests.server.exercise import exercise_store


@contextlib.asynccontextmanager
async def make(folder: Path, limits: Limits) -> AsyncIterator[Store]:
    store = store_over(SqliteDatabase(folder / "test.db"), limits)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


test_sqlite = exercise_store(make)


def ran(folder: Path, scenario: Callable[[SqliteDatabase], Coroutine[Any, Any, None]]) -> None:
    async def play() -> None:
        database = SqliteDatabase(folder / "test.db")
        try:
            await scenario(database)
        finally:
            await database.close()

    asyncio.run(play())


def put(key: str) -> Work[int]:
    return lambda tx: tx.run("INSERT INTO variables (key) VALUES (?)", key)


def keys(tx: Transaction) -> list[str]:
    return [key for (key,) in tx.rows("SELECT key FROM variables ORDER BY key")]


def test_what_is_written_together_fails_one_by_one(tmp_path: Path) -> None:
    def bug(tx: Transaction) -> None:
        tx.run("INSERT INTO variables (key) VALUES ('bug')")
        raise ZeroDivisionError

    async def scenario(database: SqliteDatabase) -> None:
        await database.open()
        works: list[Work[Any]] = [put("a"), bug, put("b"), put("a"), lambda tx: tx.run("nonsense"), put("c")]
        found = await asyncio.gather(*[database.write(work) for work in works], return_exceptions=True)
        assert [type(one) for one in found] == [int, ZeroDivisionError, int, StoreBroken, StoreBroken, int]
        assert await database.read(keys) == ["a", "b", "c"]

    ran(tmp_path, scenario)


def test_whoever_stands_in_line_while_it_is_locked_waits_once_for_all(tmp_path: Path) -> None:
    """A second batch of 128, and a third, would wait as long again."""

    async def scenario() -> None:
        database = SqliteDatabase(tmp_path / "test.db", patience_s=0.5)
        await database.open()
        with contextlib.closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            works = [database.write(put(str(number))) for number in range(1000)]
            found = await asyncio.gather(*works, return_exceptions=True)
            assert {type(one) for one in found} == {StoreLocked}
            assert 0.4 < time.monotonic() - began < 1.4
            assert await database.read(keys) == []
        await database.write(put("a"))
        assert await database.read(keys) == ["a"]
        await database.close()

    asyncio.run(scenario())


def test_many_writes_share_a_commit(tmp_path: Path) -> None:
    """As many as SQLite lets one process do: each alone would wait for the disk two thousand times."""

    async def scenario(database: SqliteDatabase) -> None:
        await database.open()
        await asyncio.gather(*[database.write(put(str(number))) for number in range(2000)])
        assert len(await database.read(keys)) == 2000

    ran(tmp_path, scenario)


def test_reading_does_not_wait_for_writing_and_cannot_write(tmp_path: Path) -> None:
    async def scenario(database: SqliteDatabase) -> None:
        await database.open()
        writing, go_on = threading.Event(), threading.Event()

        def slow(tx: Transaction) -> None:
            put("slow")(tx)
            writing.set()
            assert go_on.wait(30)

        task = asyncio.create_task(database.write(slow))
        assert await asyncio.to_thread(writing.wait, 30)
        assert await database.read(keys) == []
        go_on.set()
        await task
        assert await database.read(keys) == ["slow"]
        with pytest.raises(StoreBroken):
            await database.read(put("reader"))

    ran(tmp_path, scenario)


def test_it_may_be_closed_before_it_is_opened_and_twice_and_opened_again(tmp_path: Path) -> None:
    async def scenario(database: SqliteDatabase) -> None:
        await database.close()
        with pytest.raises(StoreBroken, match="not open"):
            await database.read(keys)
        await database.open()
        await database.open()
        await database.write(put("a"))
        await database.close()
        await database.close()
        await database.open()
        assert await database.read(keys) == ["a"]

    ran(tmp_path, scenario)


def test_what_was_asked_for_before_the_end_is_still_answered(tmp_path: Path) -> None:
    async def scenario(database: SqliteDatabase) -> None:
        await database.open()
        asked = [asyncio.create_task(database.write(put(str(number)))) for number in range(300)]
        await asyncio.sleep(0)
        await database.close()
        assert await asyncio.gather(*asked) == [1] * 300

    ran(tmp_path, scenario)


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    async def scenario(database: SqliteDatabase) -> None:
        await database.open()
        await database.write(lambda tx: tx.run("INSERT INTO schema_versions (number) VALUES (99)"))
        await database.close()
        with pytest.raises(NewerSchema, match="schema 99"):
            await database.open()
        with pytest.raises(StoreBroken, match="not open"):
            await database.read(keys)

    ran(tmp_path, scenario)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test.db").write_text("this is no database, and long enough to be told from one" * 100)

    async def scenario(database: SqliteDatabase) -> None:
        with pytest.raises(StoreBroken, match=r"test\.db"):
            await database.open()

    ran(tmp_path, scenario)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async def scenario(database: SqliteDatabase) -> None:
        with pytest.raises(StoreBroken, match="cannot open"):
            await database.open()

    ran(tmp_path / "missing", scenario)
