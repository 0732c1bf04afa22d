"""The store alone: task lifecycles per second, with 8 clients, on an empty database and on a full one.

A lifecycle is a claim, `/run`, and a success, each a transaction that is durable when it is answered; the engine ticks
meanwhile, as in a server. `full` has 100,000 finished instances and 10,000 that wait in another queue besides. Over
HTTP the same is measured by `bench.server`.

    python -m bench.store [--quick] [--json] [--postgres URL]
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from protocol.flows import FlowGraph, TaskSpec
from protocol.messages.startup import LiteralArgBinding, TaskArgBinding
from protocol.states import TaskInstanceState
from server.filters import InstanceFilter
from server.outcomes import Ended
from server.records import NewRun, Process
from server.sql.store import store_over
from server.sql.transaction import Database
from server.sqlite import SqliteDatabase
from server.store import Store

CLIENTS = 8
HERE = Process(hostname="bench", unixname="bench", pid=1)


def now() -> datetime:
    """Give the moment."""
    return datetime.now(UTC)


def wide(dag_id: str, tasks: int, queue: str) -> FlowGraph:
    """Independent tasks with an argument each, so that the graph has the size of a real one."""
    args: list[TaskArgBinding] = [LiteralArgBinding("x", value="some value")]
    return FlowGraph(dag_id=dag_id, tasks=[TaskSpec(task_id=f"t{i}", queue=queue, args=args) for i in range(tasks)])


async def until_quiet(store: Store) -> None:
    """Tick until nothing is left to do."""
    while (await store.tick(now())).more:
        pass


async def pulse(store: Store, over: asyncio.Event) -> None:
    """The engine of a server, in short."""
    while not over.is_set():
        seen = store.change_seen()
        if not (await store.tick(now())).more:
            await store.wait_for_change(seen, 1.0)


async def client(store: Store, name: str, queue: str, slots: int) -> int:
    """Be a worker: claim, start and end until there is nothing more."""
    done = 0
    while claimed := await store.claim(name, [queue], slots, None, now()):
        for each in claimed:
            started = await store.start(each.instance.id, HERE, now(), now(), fence=each.instance.fence)
            told = Ended(state=TaskInstanceState.SUCCESS, end_date=now())
            await store.finish(started.instance.id, told, now(), fence=started.instance.fence)
            done += 1
    return done


async def drain(store: Store, queue: str, slots: int) -> int:
    """Let all clients work until a queue is empty."""
    counts = await asyncio.gather(*[client(store, f"c{number}", queue, slots) for number in range(CLIENTS)])
    return sum(counts)


async def fill(store: Store, finished: int, queued: int, size: int = 500) -> None:
    """Put history into the database as it comes about: through the store."""
    for number in range(finished // size):
        await store.submit(wide("history", size, "past"), NewRun(dag_id="history", run_id=f"h{number}"), now())
        await until_quiet(store)
        await drain(store, "past", 50)
    for number in range(queued // size):
        await store.submit(wide("waiting", size, "other"), NewRun(dag_id="waiting", run_id=f"w{number}"), now())
    await until_quiet(store)


async def measure(store: Store, round_: str, count: int) -> tuple[float, float]:
    """Give lifecycles per second, and CPU milliseconds for each."""
    runs = max(1, count // 50)
    for number in range(runs):
        await store.submit(wide("now", 50, "now"), NewRun(dag_id="now", run_id=f"{round_}-{number}"), now())
    await until_quiet(store)
    over = asyncio.Event()
    ticking = asyncio.create_task(pulse(store, over))
    begun, cpu = time.perf_counter(), time.process_time()
    done = await drain(store, "now", 1)
    took, used = time.perf_counter() - begun, time.process_time() - cpu
    over.set()
    await ticking
    await until_quiet(store)
    assert done == runs * 50
    assert await store.count_instances(InstanceFilter(dag_id="now", states=["success"])) >= done
    return done / took, used / done * 1000


async def compare(name: str, make: "list[Database]", *, quick: bool) -> list[dict[str, object]]:
    """Interleave the empty and the full database, so that both meet the same machine."""
    history, count, rounds = (10_000, 500, 3) if quick else (100_000, 2000, 5)
    empty, full = [store_over(database) for database in make]
    found: dict[str, list[tuple[float, float]]] = {"empty": [], "full": []}
    try:
        for store in (empty, full):
            await store.open()
        begun = time.perf_counter()
        await fill(full, history, 10_000)
        print(f"# {name}: {history} finished and 10000 queued in {time.perf_counter() - begun:.0f} s")
        for number in range(rounds):
            for which, store in (("empty", empty), ("full", full)):
                found[which].append(await measure(store, f"r{number}", count))
    finally:
        for store in (empty, full):
            await store.close()
    return [row(name, which, values, found) for which, values in found.items()]


def row(
    name: str, which: str, values: list[tuple[float, float]], found: dict[str, list[tuple[float, float]]]
) -> dict[str, object]:
    """Print a row, and give it."""
    rates = [rate for rate, _ in values]
    median = statistics.median(rates)
    cpu = statistics.median(used for _, used in values)
    share = median / statistics.median(rate for rate, _ in found["empty"])
    print(f"{name:9} {which:6} {median:8.0f} lifecycles/s   {cpu:6.2f} ms CPU each   {share:5.0%} of empty")
    return {
        "name": f"{name}, {which}",
        "unit": "lifecycles/s",
        "ours": round(median, 1),
        "peers": {},
        "floor": None,
        "runs": len(rates),
        "spread": [round(min(rates), 1), round(max(rates), 1)],
        "cpu_ms": round(cpu, 3),
    }


def sqlite(folder: Path) -> "list[Database]":
    """Make the two databases."""
    return [SqliteDatabase(folder / f"{which}.db") for which in ("empty", "full")]


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.store", description="lifecycles per second, store alone")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--postgres", nargs=2, metavar="URL", help="two databases or schemas, both empty")
    given = parser.parse_args()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        rows += asyncio.run(compare("sqlite", sqlite(Path(folder)), quick=given.quick))
    if given.postgres:
        from server.postgres import PostgresDatabase  # noqa: PLC0415 - only who asks for it needs its library

        databases: list[Database] = [PostgresDatabase(url) for url in given.postgres]
        rows += asyncio.run(compare("postgres", databases, quick=given.quick))
    if given.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
