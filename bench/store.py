"""The store alone: task lifecycles per second, with 8 clients, on an empty database and on a full one.

A lifecycle is a claim, `/run`, and a success, each a transaction that is durable when it is answered; the engine ticks
meanwhile, as in a server. `full` has 100,000 finished instances and 10,000 that wait in another queue besides. Over
HTTP the same is measured by `bench.server`.

    python -m bench.store [--quick] [--json] [--postgres URL]
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.harness import Row, emit, median_and_spread
from bench.history import fill, put_full
from bench.workers import drain, now, pulse, until_quiet, wide
from server.filters import InstanceFilter
from server.records import NewRun
from server.sql.store import store_over
from server.sql.transaction import Database
from server.sqlite import SqliteDatabase
from server.store import Store


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


async def compare(name: str, make: "list[Database]", *, quick: bool) -> list[Row]:
    """Interleave the empty and the full database, so that both meet the same machine."""
    count, rounds = (500, 3) if quick else (1000, 9)
    empty, full = [store_over(database) for database in make]
    found: dict[str, list[tuple[float, float]]] = {"empty": [], "full": []}
    try:
        for store in (empty, full):
            await store.open()
        if not await full.count_instances(InstanceFilter(dag_id="history")):
            await fill(full, history_of(quick=quick))
        for number in range(rounds):
            for which, store in (("empty", empty), ("full", full))[:: 1 if number % 2 else -1]:
                found[which].append(await measure(store, f"r{number}", count))
    finally:
        for store in (empty, full):
            await store.close()
    return list(rows_of(name, found))


def rows_of(name: str, found: dict[str, list[tuple[float, float]]]) -> Iterator[Row]:
    """Give the rates of both, and what history makes of them."""
    for which, values in found.items():
        rate, spread = median_and_spread([rate for rate, _ in values])
        yield Row(f"lifecycles in the store, {name}, {which}", "1/s", round(rate, 1), {}, None, len(values), spread)
        cpu, spread = median_and_spread([used for _, used in values])
        yield Row(f"CPU of one in the store, {name}, {which}", "ms", round(cpu, 3), {}, None, len(values), spread)
    pairs = [full / empty for (empty, _), (full, _) in zip(found["empty"], found["full"], strict=True)]
    ratio, spread = median_and_spread(pairs)
    yield Row(
        f"rate of the full store, as a part of the empty, {name}", "x", round(ratio, 3), {}, None, len(pairs), spread
    )


def history_of(*, quick: bool) -> int:
    """Give how many instances are finished in a full database."""
    return 10_000 if quick else 100_000


def sqlite(folder: Path, *, quick: bool) -> "list[Database]":
    """Make the two databases."""
    put_full(folder / "full.db", history_of(quick=quick))
    return [SqliteDatabase(folder / f"{which}.db") for which in ("empty", "full")]


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.store", description="lifecycles per second, store alone")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--postgres", nargs=2, metavar="URL", help="two databases or schemas, both empty")
    given = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        rows += asyncio.run(compare("SQLite", sqlite(Path(folder), quick=given.quick), quick=given.quick))
    if given.postgres:
        from server.postgres import PostgresDatabase  # noqa: PLC0415 - only who asks for it needs its library

        databases: list[Database] = [PostgresDatabase(url) for url in given.postgres]
        rows += asyncio.run(compare("PostgreSQL", databases, quick=given.quick))
    emit(rows, sys.argv)


if __name__ == "__main__":
    main()
