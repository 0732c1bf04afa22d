import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from server.postgres import PostgresDatabase
from server.sql.part import Limits
from server.sql.store import store_over
from server.store import Store
from tests.server import postgres_server
from tests.server.exercise import exercise_store


@contextlib.asynccontextmanager
async def make(folder: Path, limits: Limits) -> AsyncIterator[Store]:
    del folder
    with postgres_server.schema(f"t{uuid.uuid4().hex}") as url:
        store = store_over(PostgresDatabase(url, connections=4), limits)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


test_postgres = exercise_store(make)
