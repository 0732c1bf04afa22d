"""What an attempt costs: CPU of a no-op Python task from claim to reported state, tasks a second, slots released.

The worker, its keeper and the children are counted together (the minimal API is not); the floor is a fork and an exit
of a Python of the keeper's size. `python -m bench.attempt [--quick] [--json]`.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.floors import fork_ms, spent
from bench.harness import Row, emit, median_and_spread
from bench.meter import process_cpu
from bench.serving import minimal_api
from supervisor.attempt import Attempt
from supervisor.opening import office
from supervisor.orders import order_of
from supervisor.records import Record
from supervisor.running import run
from supervisor.settings import load
from supervisor.sources import ListSource, read
from supervisor.worker import Worker

SLOTS = 8


def workload(task_id: str, **more: object) -> dict[str, Any]:
    """Give a workload as a server would."""
    ti = {"id": str(uuid.uuid4()), "task_id": task_id, "dag_id": "d", "run_id": "r", "try_number": 1, "pool_slots": 1}
    ti |= {"dag_version_id": str(uuid.uuid4()), "priority_weight": 1}
    envelope = {"token": "w", "dag_rel_path": "a.py", "bundle_info": {"name": "local"}, "ti": ti, "type": "ExecuteTask"}
    return {**envelope, "lease": {"seconds": 30.0, "fence": 1}, **more}


FLOW = """from runner import flow, task

@task
def noop():
    pass

@flow
def d():
    noop()
"""
"""What our runner loads: in every child anew, or in the keeper once."""

ENTRIES = {
    "": ("runner.child:main", "noop", False),
    ", its flow preloaded": ("runner.child:main", "noop", True),
    ", the smallest child": ("bench.noop:main", "t", False),
}
Figures = tuple[list[float], list[float]]


async def measure(url: str, folder: str, kind: str, tasks: int, rounds: int) -> Figures:
    """Give the CPU milliseconds of a task, and the tasks a second, of each round."""
    entry, task_id, preloaded = ENTRIES[kind]
    file = str(Path(folder, "flow.py"))
    flags: dict[str, object] = {"api.url": url, "worker.state_dir": folder, "keeper.entry": entry}
    settings = load(flags | {"worker.slots": SLOTS}, environ=dict(os.environ)).settings
    options = msgspec.structs.replace(settings.keeper, preload=(file,) if preloaded else ())
    settings = msgspec.structs.replace(settings, keeper=options)
    records: list[Record] = []
    costs, speeds = [], []
    async with office(settings, lambda text: print(text, file=sys.stderr)) as opened:
        for number in range(rounds + 1):
            records.clear()
            workloads = [read(_encode(workload(task_id, dag_rel_path=file[1:]))) for _ in range(tasks)]
            pids = opened.keeper.keeper_pids
            before, begin = spent() + sum(map(process_cpu, pids)), time.perf_counter()
            await Worker(opened, settings, ListSource(workloads), records.append).run()
            wall, cost = time.perf_counter() - begin, spent() + sum(map(process_cpu, pids)) - before
            assert [r.outcome for r in records] == ["success"] * tasks
            if number:
                costs.append(cost / tasks * 1e3)
                speeds.append(tasks / wall)
    return costs, speeds


async def released(url: str, folder: str, tasks: int) -> list[float]:
    """Give the milliseconds from the last instruction of a child to its free slot, one attempt at a time."""
    settings = load({"api.url": url, "worker.state_dir": folder}, environ=dict(os.environ)).settings
    settings = msgspec.structs.replace(
        settings, keeper=msgspec.structs.replace(settings.keeper, entry="bench.noop:main")
    )
    found = []
    stamp = [sys.executable, "-S", "-c", "import os, time; os.write(1, b'%f' % time.monotonic()); os._exit(0)"]
    async with office(settings, lambda text: print(text, file=sys.stderr)) as opened:
        for _ in range(tasks):
            order = order_of(read(msgspec.json.encode(workload("t", runtime="plain", command=stamp))), settings)
            attempt = Attempt(opened, order)
            running = asyncio.ensure_future(attempt.run())
            await attempt.released
            free = time.monotonic()
            await running
            [line] = (line for line in order.log.read_text().splitlines() if '"stdout"' in line)
            found.append((free - float(json.loads(line)["event"])) * 1e3)
    return found


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value)


def _rows(kind: str, figures: Figures, least: float) -> Iterator[Row]:
    costs, speeds = figures
    cost, spread = median_and_spread(costs)
    yield Row(f"CPU per no-op Python task{kind}", "ms", round(cost, 2), {}, least, len(costs), spread)
    speed, spread = median_and_spread(speeds)
    yield Row(f"tasks per second{kind}", "1/s", round(speed, 1), {}, None, len(speeds), spread)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    quick = "--quick" in arguments
    tasks, rounds = (100, 3) if quick else (400, 7)
    with minimal_api() as url, tempfile.TemporaryDirectory() as folder:
        Path(folder, "flow.py").write_text(FLOW)
        figures = {kind: run(measure(url, folder, kind, tasks, rounds)) for kind in ENTRIES}
        slots = run(released(url, folder, 20 if quick else 100))
    least = round(fork_ms(tasks), 2)
    rows = [row for kind, found in figures.items() for row in _rows(kind, found, least)]
    slot, slot_spread = median_and_spread(slots)
    rows.append(Row("slot free after exit", "ms", round(slot, 2), {}, None, len(slots), slot_spread))
    emit(rows, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
