import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from protocol.states import TaskInstanceState as S
from server.faults import StoreBroken
from server.filters import RunFilter
from server.outcomes import Ended
from server.postgres import PostgresDatabase
from server.sql.part import Limits
from server.sql.store import store_over
from server.store import Store
from tests.server import postgres_server
from tests.server.exercise import exercise_store
from tests.server.exercise.story import Story, task


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


@contextlib.asynccontextmanager
async def two_servers() -> AsyncIterator[tuple[Store, Store]]:
    with postgres_server.schema(f"t{uuid.uuid4().hex}") as url:
        stores = [store_over(PostgresDatabase(url, connections=4)) for _ in range(2)]
        await asyncio.gather(*[store.open() for store in stores])
        try:
            yield stores[0], stores[1]
        finally:
            await asyncio.gather(*[store.close() for store in stores])


def test_two_servers_share_the_work_and_neither_takes_twice() -> None:
    async def play() -> None:
        async with two_servers() as stores:
            stories = [Story(store) for store in stores]
            for number in range(4):
                await stories[0].submit(*[task(f"t{index}") for index in range(25)], run_id=f"run{number}")

            async def work(story: Story, name: str) -> list[str]:
                mine = []
                while claimed := await story.claim(2, worker=name):
                    for each in claimed:
                        it = (await story.start(each.instance)).instance
                        assert await story.finish(it) == "new"
                        mine.append(it.id)
                return mine

            taken = await asyncio.gather(*[work(stories[number % 2], f"w{number}") for number in range(8)])
            ids = [ti_id for mine in taken for ti_id in mine]
            assert len(ids) == len(set(ids)) == 100
            for story in stories:
                await story.tick()
            assert await stories[1].store.count_runs(RunFilter(states=["success"])) == 4

    asyncio.run(play())


def test_a_server_hears_of_what_another_one_queued() -> None:
    async def play() -> None:
        async with two_servers() as (one, other):
            seen = other.work_seen(["default"])
            waiting = asyncio.create_task(other.wait_for_work(["default"], seen, 30))
            await Story(one).submit()
            assert await waiting
            assert len(await Story(other).claim()) == 1

    asyncio.run(play())


def test_it_goes_on_when_its_connections_were_cut() -> None:
    async def play() -> None:
        async with two_servers() as (one, other):
            story = Story(one)
            await story.submit()
            with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            assert await story.find() is not None
            await story.finish(await story.running())
            assert await Story(other).run_state() == "success"

    asyncio.run(play())


def test_a_database_that_is_away_is_a_fault_of_ours() -> None:
    async def play() -> None:
        store = store_over(PostgresDatabase("postgresql://nobody@127.0.0.1:1/none"))
        with pytest.raises(StoreBroken, match="cannot prepare"):
            await store.open()
        with pytest.raises(StoreBroken, match="not open"):
            await store.flows()
        await store.close()

    asyncio.run(play())


def test_a_tick_that_waits_for_a_run_keeps_nobody_from_its_instances() -> None:
    async def play() -> None:
        with postgres_server.schema(f"t{uuid.uuid4().hex}") as url:
            store = store_over(PostgresDatabase(url, connections=2))
            await store.open()
            story = Story(store)
            await story.submit(task("lost"), task("ended"))
            await story.running()
            await store.finish((await story.running()).id, Ended(state=S.SUCCESS, end_date=story.now), story.now)
            story.later(60)
            async with await psycopg.AsyncConnection.connect(url) as clearing:
                await clearing.execute("SELECT 1 FROM runs FOR UPDATE")
                tick = asyncio.create_task(story.tick())
                async with await psycopg.AsyncConnection.connect(url, autocommit=True) as watching:
                    while not await (await watching.execute(WAITS)).fetchone():
                        assert not tick.done()
                await clearing.execute("SELECT 1 FROM instances FOR UPDATE NOWAIT")
            assert await tick == 1
            await store.close()

    asyncio.run(play())


WAITS = (
    "SELECT 1 FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid() AND locktype IN ('tuple', 'transactionid')"
)
