"""What the journal costs: its commits by themselves, and a no-op attempt with it and without.

`python -m bench.journal [--quick] [--json]`. Attempts with and without are interleaved in one process, over the same
keeper and API, so that what the machine does meanwhile happens to both. The floor of a commit is a bare `fdatasync`
after a write of the same bytes.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench.attempt import workload
from bench.floors import spent
from bench.harness import Row, emit, median_and_spread
from bench.meter import process_cpu
from bench.serving import minimal_api
from supervisor.journal import Opened, Owed, Settled
from supervisor.journal_files import Folder
from supervisor.journal_files import read as read_journal
from supervisor.journal_writer import Journal
from supervisor.opening import office
from supervisor.orders import Office
from supervisor.records import Record
from supervisor.running import run
from supervisor.settings import Settings, load
from supervisor.sources import ListSource, read
from supervisor.worker import Worker

SLOTS = 8
DISK = "/var/tmp"  # noqa: S108 - tempfile makes the folder in it, for us alone
"""Not the system's folder for what is temporary: that may be memory, which has no disk to wait for."""
SEGMENT = 1024 * 1024
OPENED = Opened(1, "bench", 1, 1, "boot", "http://127.0.0.1", 1.0)
BODY = b'{"state":"success","end_date":"2026-01-01T00:00:00.000000Z"}'


def opened(folder: Path) -> Journal:
    """Open a journal in a new folder."""
    folder.mkdir()
    journal = Journal(Folder(folder), read_journal(folder), OPENED, SEGMENT)
    journal.begin()
    return journal


async def commits(folder: Path, at_once: int, count: int) -> tuple[float, float, float]:
    """Give durable outcomes a second, the milliseconds that one waits, and outcomes for each sync."""
    journal = opened(folder)
    waits: list[float] = []

    async def one(first: int) -> None:
        for number in range(first, count, at_once):
            ti = number.to_bytes(16, "big")
            begin = time.perf_counter()
            assert await journal.commit(Owed(ti, "success", BODY, "", None, begin))
            waits.append(time.perf_counter() - begin)
            journal.append(Settled(ti, "told"))

    began = time.perf_counter()
    await asyncio.gather(*(one(first) for first in range(at_once)))
    took = time.perf_counter() - began
    await journal.stop()
    return count / took, median_and_spread(waits)[0] * 1e3, count / journal.commits


def bare(folder: Path, count: int) -> float:
    """Give the syncs a second of a program that does nothing else."""
    fd = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    began = time.perf_counter()
    for _ in range(count):
        os.write(fd, BODY + bytes(60))
        os.fdatasync(fd)
    os.close(fd)
    return count / (time.perf_counter() - began)


async def attempts(opened_office: Office, settings: Settings, tasks: int) -> tuple[float, float]:
    """Give CPU milliseconds and wall milliseconds of one no-op attempt among `tasks`, the API not counted."""
    workloads = [read(msgspec.json.encode(workload("t", dag_rel_path="a.py"))) for _ in range(tasks)]
    pids = opened_office.keeper.keeper_pids
    records: list[Record] = []
    before, begin = spent() + sum(map(process_cpu, pids)), time.perf_counter()
    await Worker(opened_office, settings, ListSource(workloads), records.append).run()
    wall, cost = time.perf_counter() - begin, spent() + sum(map(process_cpu, pids)) - before
    assert [record.outcome for record in records] == ["success"] * tasks
    return cost / tasks * 1e3, wall / tasks * 1e3


Figures = dict[str, list[float]]


async def compared(url: str, folder: Path, tasks: int, rounds: int) -> Figures:
    """Measure with and without in turns: eight at a time for CPU, one at a time for how long one takes."""
    flags = {"api.url": url, "worker.state_dir": str(folder), "keeper.entry": "bench.noop:main"}
    many = load({**flags, "worker.slots": SLOTS}, environ=dict(os.environ)).settings
    one = load({**flags, "worker.slots": 1}, environ=dict(os.environ)).settings
    figures: Figures = {f"{what} {how}": [] for what in ("cpu", "wall") for how in ("with", "without")}
    figures["bytes"] = []
    async with office(many, lambda text: print(text, file=sys.stderr)) as plain:
        journal = await asyncio.to_thread(opened, folder / "journal")
        kept = msgspec.structs.replace(plain, journal=journal)
        for number in range(rounds + 1):
            for how, each in (("with", kept), ("without", plain))[:: 1 if number % 2 else -1]:
                written = journal.written
                cpu, _ = await attempts(each, many, tasks)
                if how == "with":
                    figures["bytes"].append((journal.written - written) / tasks)
                _, wall = await attempts(each, one, tasks // 4)
                if number:
                    figures[f"cpu {how}"].append(cpu)
                    figures[f"wall {how}"].append(wall)
        await journal.stop()
    return figures


def main(arguments: list[str]) -> None:
    """Measure and print."""
    quick = "--quick" in arguments
    tasks, rounds, count = (100, 5, 500) if quick else (400, 9, 4000)
    rows: list[Row] = []
    with minimal_api() as url, tempfile.TemporaryDirectory(dir=DISK) as name:
        folder = Path(name)
        for at_once in (1, 8, 64):
            least = round(bare(folder, count // 2))
            speed, wait, shared = asyncio.run(commits(folder / str(at_once), at_once, count))
            peers = {"outcomes a sync": round(shared, 1), "ms one waits": round(wait, 3)}
            rows.append(
                Row(f"durable outcomes a second, {at_once} at a time", "1/s", round(speed), peers, least, 1, 0.0)
            )
        figures = run(compared(url, folder / "state", tasks, rounds))
    for what, text in (("cpu", "CPU per no-op attempt, 8 at a time"), ("wall", "a no-op attempt, one at a time")):
        ours, spread = median_and_spread(figures[f"{what} with"])
        without = median_and_spread(figures[f"{what} without"])[0]
        pairs = [a / b for a, b in zip(figures[f"{what} with"], figures[f"{what} without"], strict=True)]
        peers = {"without": round(without, 3), "ratio, median of pairs": round(median_and_spread(pairs)[0], 3)}
        rows.append(Row(text, "ms", round(ours, 3), peers, None, rounds, spread))
    size, spread = median_and_spread(figures["bytes"])
    rows.append(Row("journal bytes per no-op attempt", "B", round(size), {}, None, len(figures["bytes"]), spread))
    emit(rows, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
