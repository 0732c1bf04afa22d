"""A database with a past: 100,000 finished task instances and 10,000 that wait in another queue.

The past comes about as in life, through the store, which takes minutes. So it is made once, kept in `build/`, and
copied to whoever measures on it; it is made anew when the schema changes.
"""

import asyncio
import hashlib
import shutil
import sys
import time
from pathlib import Path

from bench.environments import ROOT
from bench.workers import drain, now, until_quiet, wide
from server.records import NewRun
from server.sql.store import store_over
from server.sqlite import SqliteDatabase
from server.store import Store

KEPT = ROOT / "build" / "bench"
QUEUED = 10_000
SIZE = 500


async def fill(store: Store, finished: int) -> None:
    """Put a past into a database."""
    for number in range(finished // SIZE):
        await store.submit(wide("history", SIZE, "past"), NewRun(dag_id="history", run_id=f"h{number}"), now())
        await until_quiet(store)
        await drain(store, "past", 50)
    for number in range(QUEUED // SIZE):
        await store.submit(wide("waiting", SIZE, "other"), NewRun(dag_id="waiting", run_id=f"w{number}"), now())
    await until_quiet(store)


async def _make(path: Path, finished: int) -> None:
    begun = time.perf_counter()
    store = store_over(SqliteDatabase(path))
    await store.open()
    try:
        await fill(store, finished)
    finally:
        await store.close()
    print(f"# made {finished} finished and {QUEUED} queued in {time.perf_counter() - begun:.0f} s", file=sys.stderr)


def put_full(target: Path, finished: int) -> None:
    """Put a full SQLite database there."""
    schema = hashlib.sha256()
    for file in sorted((ROOT / "server" / "sql" / "migrations").iterdir()):
        schema.update(file.read_bytes() if file.is_file() else b"")
    kept = KEPT / f"full-{finished}-{schema.hexdigest()[:12]}.db"
    if not kept.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        for old in KEPT.glob(f"full-{finished}-*"):
            old.unlink()
        making = kept.with_suffix(".making")
        asyncio.run(_make(making, finished))
        making.rename(kept)
    shutil.copy(kept, target)
