"""A process that writes through a store until it is killed, and says of each write that it was acknowledged.

    python -m tests.server.victim WHERE ROUND

Each line on stdout is one acknowledged write, written in one piece after the answer came. Whoever killed it looks for
all of them afterwards.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from protocol.flows import FlowGraph, TaskSpec, TriggerRule
from protocol.states import TaskInstanceState
from server.filters import XComName
from server.outcomes import Ended, NewCheckpoint, Retried
from server.postgres import PostgresDatabase
from server.records import Claimed, NewRun, Process
from server.sql.part import Limits
from server.sql.store import store_over
from server.sqlite import SqliteDatabase
from server.store import Store

CLIENTS = 6
LIMITS = Limits(lease=1.0, claim_lease=1.0)
TASKS = [
    TaskSpec(task_id="list", retries=1, retry_delay_s=0),
    TaskSpec(task_id="each", upstreams=["list"], map_over="list", retries=1, retry_delay_s=0),
    TaskSpec(task_id="end", upstreams=["each"], trigger_rule=TriggerRule.ALL_DONE),
]
GRAPH = FlowGraph(dag_id="flow", tasks=TASKS)


def store_at(where: str) -> Store:
    if where.startswith("postgresql://"):
        return store_over(PostgresDatabase(where, connections=4), LIMITS)
    return store_over(SqliteDatabase(Path(where)), LIMITS)


def now() -> datetime:
    return datetime.now(UTC)


def acknowledged(what: str, *values: Any) -> None:
    os.write(1, msgspec.json.encode([what, *values]) + b"\n")


async def attempt(store: Store, claimed: Claimed, number: int) -> None:
    it = claimed.instance
    acknowledged("claimed", it.id)
    process = Process(hostname="victim", unixname="v", pid=os.getpid())
    started = await store.start(it.id, process, now(), now(), fence=it.fence)
    fence = started.instance.fence
    acknowledged("started", it.id)
    saved = await store.save_checkpoint(it.id, NewCheckpoint(data={"n": number}, progress=number), now(), fence=fence)
    acknowledged("saved", it.id, saved.seq, number)
    name = XComName(dag_id=it.dag_id, run_id=it.run_id, task_id=it.task_id, key="return_value", map_index=it.map_index)
    await store.set_xcom(name, [number, number], by=it.id)
    acknowledged("returned", name, number)
    if it.try_number == 1 and number % 3 == 0:
        await store.finish(it.id, Retried(end_date=now()), now(), fence=fence)
        acknowledged("finished", it.id, "up_for_retry")
    else:
        await store.finish(it.id, Ended(state=TaskInstanceState.SUCCESS, end_date=now()), now(), fence=fence)
        acknowledged("finished", it.id, "success")


async def client(store: Store, number: int) -> None:
    for count in range(1_000_000):
        seen = store.work_seen(["default"])
        claimed = await store.claim(f"c{number}", ["default"], 1, None, now())
        for each in claimed:
            await attempt(store, each, count)
        if not claimed:
            await store.wait_for_work(["default"], seen, 1.0)


async def submitter(store: Store, round_: str) -> None:
    for count in range(1_000_000):
        run_id = f"{round_}-{count}"
        await store.submit(GRAPH, NewRun(dag_id="flow", run_id=run_id), now())
        acknowledged("submitted", run_id)
        await store.set_variable(run_id, run_id, None)
        acknowledged("variable", run_id)


async def pulse(store: Store) -> None:
    while True:
        seen = store.change_seen()
        if not (await store.tick(now())).more:
            await store.wait_for_change(seen, 0.2)


async def main() -> None:
    store = store_at(sys.argv[1])
    await store.open()
    async with asyncio.TaskGroup() as group:
        group.create_task(pulse(store))
        group.create_task(submitter(store, sys.argv[2]))
        for number in range(CLIENTS):
            group.create_task(client(store, number))


if __name__ == "__main__":
    asyncio.run(main())
