"""Ours: a worker as `worker run` opens it, keeper and journal too, given its workloads as a claim would give them.

`python -m bench.drivers.ours URL FOLDER SLOTS [preload]`.
"""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from bench.attempt import workload
from bench.drivers.talk import Work, serve, take_stdout
from bench.journal import opened as opened_journal
from protocol.http.workloads import ExecuteTask
from supervisor.opening import office
from supervisor.orders import Office
from supervisor.records import Record
from supervisor.running import run
from supervisor.settings import Settings, load
from supervisor.sources import ListSource, read
from supervisor.worker import Worker

FLOW = """import os, signal
from runner import flow, task

@task
def noop():
    pass

@task
def sleeps():
    open("{ran}/" + str(os.getpid()), "w").close()
    signal.pause()

@flow
def d():
    noop()
    sleeps()
"""


def settings_of(url: str, folder: Path, slots: int, *, preload: bool) -> Settings:
    """Give the settings, all else as it is when nobody says anything."""
    flow = folder / "flow.py"
    flow.write_text(FLOW.format(ran=folder / "ran"))
    flags: dict[str, object] = {"api.url": url, "worker.state_dir": str(folder), "worker.slots": slots}
    settings = load(flags, environ=dict(os.environ)).settings
    return replace(settings, keeper=replace(settings.keeper, preload=(str(flow),) if preload else ()))


class Driver:
    """A worker that is asked from another thread."""

    def __init__(self, opened: Office, settings: Settings) -> None:
        self._opened = opened
        self._settings = settings
        self._flow = str(settings.state_dir / "flow.py")[1:]
        self._loop = asyncio.get_running_loop()
        self.sleeping: list[object] = []

    def work(self) -> Work:
        """Give what it can do."""
        return Work(self._prepare, self._go, self._sleep)

    def _prepare(self, count: int, task_id: str = "noop") -> list[ExecuteTask]:
        made = [workload(task_id, dag_rel_path=self._flow) for _ in range(count)]
        return [read(msgspec.json.encode(each)) for each in made]

    def _go(self, workloads: list[ExecuteTask]) -> None:
        records: list[Record] = []
        self._later(self._worker(workloads, records).run()).result()
        assert [record.outcome for record in records] == ["success"] * len(workloads)

    def _sleep(self, count: int) -> None:
        self.sleeping.append(self._later(self._worker(self._prepare(count, "sleeps"), []).run()))

    def _worker(self, workloads: list[ExecuteTask], records: list[Record]) -> Worker:
        return Worker(self._opened, self._settings, ListSource(workloads), records.append)

    def _later(self, doing: Coroutine[Any, Any, None]) -> "asyncio.Future[None]":
        return asyncio.run_coroutine_threadsafe(doing, self._loop)  # type: ignore[return-value]  # waited for alike


async def main(url: str, folder: str, slots: str, *preload: str) -> None:
    """Be the driver."""
    voice = take_stdout()
    settings = settings_of(url, Path(folder), int(slots), preload=bool(preload))
    journal = await asyncio.to_thread(opened_journal, settings.state_dir / "journal")
    async with office(settings, lambda text: print(text, file=sys.stderr)) as plain:
        driver = Driver(replace(plain, journal=journal), settings)
        await asyncio.to_thread(serve, voice, os.getpid(), driver.work())
    await journal.stop()


if __name__ == "__main__":
    run(main(*sys.argv[1:]))
