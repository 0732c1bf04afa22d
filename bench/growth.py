"""Many sleeping tasks in one worker: memory, heartbeats and idle CPU. `python -m bench.growth [--quick] [--json]`.

A worker with as many slots as tasks, a real keeper, our own runner, the minimal API. When all run they are left alone,
many of them for longer than their lease (not with `--quick`): an attempt whose heartbeats are late would be stopped,
and none may be. The CPU of that time, worker and keeper, is what watching costs. PSS counts worker, keeper and
children, each shared page once.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench.attempt import workload
from bench.floors import spent
from bench.harness import Row, emit
from bench.meter import process_cpu, pss_kib
from bench.serving import minimal_api
from protocol.messages.checkpoints import StopReason
from supervisor.opening import office
from supervisor.running import run
from supervisor.settings import Settings, load
from supervisor.sources import ListSource, read
from supervisor.worker import Worker

FLOW = """import os, time
from runner import task

@task
def sleeps():
    open("{ran}/" + str(os.getpid()), "w").close()
    time.sleep(3600)
"""
LEASE_S = 30.0
STEPS = (1, 10, 100, 1_000, 2_000)
MANY, LONG_S, SHORT_S = 1_000, 40.0, 15.0
"""How long they are left alone: many for longer than a lease, few for longer than a heartbeat."""


async def _all_run(ran: Path, count: int) -> None:
    while len(os.listdir(ran)) < count:  # noqa: ASYNC110, PTH208 - each task leaves a file, and nobody else is served
        await asyncio.sleep(0.1)


async def one(settings: Settings, file: str, count: int, idle_s: float) -> tuple[float, float, float]:
    """Give MiB of all processes, the CPU of idling as a part of one core, and seconds until all ran."""
    lease = {"seconds": LEASE_S, "fence": 1}
    envelopes = [workload("sleeps", dag_rel_path=file[1:], lease=lease) for _ in range(count)]
    settings = msgspec.structs.replace(settings, worker=msgspec.structs.replace(settings.worker, slots=count))
    async with office(settings, lambda text: print(text, file=sys.stderr)) as opened:
        worker = Worker(opened, settings, ListSource([read(msgspec.json.encode(each)) for each in envelopes]))
        began = time.perf_counter()
        running = asyncio.ensure_future(worker.run())
        await _all_run(Path(file).with_name("ran"), count)
        started = time.perf_counter() - began
        pids = opened.keeper.keeper_pids
        before, begin = spent() + sum(map(process_cpu, pids)), time.perf_counter()
        await asyncio.sleep(idle_s)
        idle = (spent() + sum(map(process_cpu, pids)) - before) / (time.perf_counter() - begin)
        family = [os.getpid(), *pids, *(child.pid for child in opened.keeper.children.values())]
        memory = pss_kib(family) / 1024
        assert len(opened.keeper.children) == count, "an attempt was lost"
        worker.drain(StopReason.DRAIN, 0.1)
        for child in list(opened.keeper.children.values()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        await running
    return memory, idle, started


def main(arguments: list[str]) -> None:
    """Measure and print."""
    quick = "--quick" in arguments
    steps = STEPS[:3] if quick else STEPS
    rows = []
    with minimal_api() as url, tempfile.TemporaryDirectory() as folder:
        flow = Path(folder, "flow.py")
        flow.write_text(FLOW.format(ran=Path(folder, "ran")))
        flags = {"api.url": url, "worker.state_dir": folder}
        settings = load(flags, environ=dict(os.environ)).settings
        for count in steps:
            ran = Path(folder, "ran")
            shutil.rmtree(ran, ignore_errors=True)
            ran.mkdir()
            idle_s = 5.0 if quick else LONG_S if count >= MANY else SHORT_S
            memory, idle, started = run(one(settings, str(flow), count, idle_s))
            rows += [
                Row(f"{count} sleeping tasks: memory of all processes", "MiB", round(memory, 1), {}, None, 1, 0.0),
                Row(f"{count} sleeping tasks: CPU of watching", "% of a core", round(idle * 100, 2), {}, None, 1, 0.0),
                Row(f"{count} sleeping tasks: until all ran", "s", round(started, 2), {}, None, 1, 0.0),
            ]
    emit(rows, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
