"""Where the CPU of a no-op attempt goes, by process and by what is done: `python -m bench.phases [--quick] [--json]`.

The same worker, with its journal, carries out four kinds of no-op in turns: a child that exits at once, the smallest
that ends well, our runner with its flow loaded beforehand, and our runner as it comes. What one child has beyond the
other is that phase; what supervisor and keeper need for themselves is theirs, and a fork is the keeper's; a request's
cost is measured by itself (`bench.httpclient`), and an attempt has two.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench.attempt import workload
from bench.drivers.ours import settings_of
from bench.floors import fork_ms
from bench.harness import Row, emit, median_and_spread
from bench.httpclient import measure as request_us
from bench.journal import opened as opened_journal
from bench.meter import split_cpu
from bench.serving import minimal_api
from supervisor.opening import office
from supervisor.records import Record
from supervisor.running import run
from supervisor.settings import Settings
from supervisor.sources import ListSource, read
from supervisor.worker import Worker

SLOTS, REQUESTS = 8, 2
KINDS = {
    "bare": ("bench.noop:nothing", False),
    "smallest": ("bench.noop:main", False),
    "preloaded": ("runner.child:main", True),
    "": ("runner.child:main", False),
}
"""The kinds of no-op: the keeper's entry, and whether the flow is loaded in it."""
Parts = dict[str, float]


def settings_for(kind: str, url: str, folder: Path) -> Settings:
    """Give the settings of a kind."""
    entry, preload = KINDS[kind]
    home = folder / f"kind-{kind}"
    home.mkdir(exist_ok=True)
    settings = settings_of(url, home, SLOTS, preload=preload)
    return msgspec.structs.replace(settings, keeper=msgspec.structs.replace(settings.keeper, entry=entry))


async def measure(settings: Settings, tasks: int, number: int) -> Parts:
    """Give the CPU milliseconds of an attempt: supervisor, keeper, children."""
    flow, entry = str(settings.state_dir / "flow.py")[1:], settings.keeper.entry
    journal = await asyncio.to_thread(opened_journal, settings.state_dir / f"journal-{number}")
    async with office(settings, lambda text: print(text, file=sys.stderr)) as plain:
        opened = msgspec.structs.replace(plain, journal=journal)
        found: Parts = {}
        for count in (SLOTS * 4, tasks):  # the first warm up
            workloads = [read(msgspec.json.encode(workload("noop", dag_rel_path=flow))) for _ in range(count)]
            records: list[Record] = []
            (pid,) = opened.keeper.keeper_pids
            (keeper, children), here = split_cpu(pid), time.process_time()
            await Worker(opened, settings, ListSource(workloads), records.append).run()
            assert {record.outcome for record in records} == {"failed" if ":nothing" in entry else "success"}
            after, spent = split_cpu(pid), time.process_time() - here
            found = {"supervisor": spent, "keeper": after[0] - keeper, "child": after[1] - children}
    await journal.stop()
    return {name: value / tasks * 1e3 for name, value in found.items()}


def split(request: float, kinds: dict[str, Parts]) -> Parts:
    """Give what each phase takes, of one round."""
    whole = kinds[""]
    bare, smallest, preloaded, all_ = (kinds[kind]["child"] for kind in KINDS)
    return {
        "supervisor, without its requests": whole["supervisor"] - REQUESTS * request,
        f"supervisor, {REQUESTS} API requests": REQUESTS * request,
        "keeper, its forks too": whole["keeper"],
        "child, being one and exiting": bare,
        "child, hearing and saying": smallest - bare,
        "child, the runner": preloaded - smallest,
        "child, loading the flow": all_ - preloaded,
    }


def main(arguments: list[str]) -> None:
    """Measure and print."""
    tasks, rounds = (200, 2) if "--quick" in arguments else (400, 5)
    found: list[Parts] = []
    with minimal_api() as url, tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            kinds = {kind: run(measure(settings_for(kind, url, Path(name).resolve()), tasks, number)) for kind in KINDS}
            (request,) = asyncio.run(request_us(url, 300, 1))["lean"]
            found.append(split(request / 1e3, kinds))
    rows = []
    for phase in found[0]:
        middle, spread = median_and_spread([parts[phase] for parts in found])
        rows.append(Row(f"no-op attempt: {phase}", "ms", round(middle, 3), {}, None, rounds, spread))
    middle, spread = median_and_spread([sum(parts.values()) for parts in found])
    rows.append(Row("no-op attempt: all of it", "ms", round(middle, 3), {}, round(fork_ms(300), 2), rounds, spread))
    emit(rows, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
