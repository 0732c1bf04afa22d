import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from server.sql.part import Limits
from server.sql.store import store_over
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
