"""A worker's world for the tests of whole attempts: a minimal API, a keeper, real children."""

import asyncio
import contextlib
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bench.minimal_api import Answer, Call, MinimalApi
from protocol.http.workloads import ExecuteTask
from supervisor.attempt import Attempt
from supervisor.opening import office
from supervisor.orders import Office, order_of
from supervisor.records import Record
from supervisor.settings import Settings, load
from supervisor.sources import read
from tests.architecture.layout import ROOT

T = TypeVar("T")

ENTRY = "tests.system.children:main"
QUICK = {
    "keeper.entry": ENTRY,
    "keeper.cgroups": False,
    "graces.short_s": 1.0,
    "limits.overtime_s": 0.5,
    "limits.heartbeat_s": 0.1,
    "api.timeout_s": 2.0,
}


def play(scenario: Coroutine[Any, Any, T], within_s: float = 150.0) -> T:
    """Run a scenario in a loop of its own; longer than this is a hang."""

    async def bounded() -> T:
        async with asyncio.timeout(within_s):
            return await scenario

    return asyncio.run(bounded())


def measured(text: str) -> None:
    """Say what was measured: `pytest -rP` shows it."""
    print(text)  # noqa: T201 - as it says


class Stage:
    """One worker's parts, without the worker: attempts are made one by one or all at once."""

    def __init__(self, api: MinimalApi, opened: Office, settings: Settings) -> None:
        self.api = api
        self.office = opened
        self.settings = settings
        self.warnings: list[str] = []

    def workload(self, task_id: str, runtime: str = "python", **more: Any) -> ExecuteTask:
        """Give a workload whose task instance the API has queued."""
        ti_id = str(uuid.uuid4())
        self.api.states[ti_id] = "queued"
        self.api.contexts[ti_id] = more.pop("context", {})
        ti = {"id": ti_id, "task_id": task_id, "dag_id": "d", "run_id": "r", "try_number": 1, "pool_slots": 1}
        ti |= {"dag_version_id": str(uuid.uuid4()), "priority_weight": 1, "context_carrier": more.pop("carrier", None)}
        envelope = {
            "token": "w",
            "dag_rel_path": "a.py",
            "bundle_info": {"name": "local"},
            "ti": ti,
            "runtime": runtime,
        }
        envelope |= {"type": "ExecuteTask", "lease": {"seconds": 30.0, "fence": 1}}
        return read(msgspec.json.encode(envelope | more))

    def attempt(self, workload: ExecuteTask) -> Attempt:
        return Attempt(self.office, order_of(workload, self.settings))

    async def run(self, task_id: str, runtime: str = "python", **more: Any) -> Record:
        """Make one attempt to its end."""
        return await self.attempt(self.workload(task_id, runtime, **more)).run()

    def told(self, record: Record) -> list[str]:
        """Give the states that the server was told of."""
        return [body["state"] for body in self.api.ends.get(str(record.ti_id), [])]

    def log(self, workload: ExecuteTask) -> str:
        """Give an attempt's log."""
        return order_of(workload, self.settings).log.read_text()

    async def asked(self, ti_id: object, verb: str, count: int = 1) -> None:
        """Wait until the API has heard this of a task instance so often."""
        ending = f"/task-instances/{ti_id}/{verb}"
        await self.api.until(lambda api: sum(call.path.endswith(ending) for call in api.calls) >= count)


@contextlib.asynccontextmanager
async def stage(folder: Path, flags: Mapping[str, object] | None = None) -> AsyncIterator[Stage]:
    """Open all of it, and close it again."""
    api = MinimalApi()
    url = await api.start()
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    settings = load(
        {"api.url": url, "worker.state_dir": str(folder), **QUICK, **(flags or {})}, environ=environ
    ).settings
    settings = msgspec.structs.replace(
        settings, keeper=msgspec.structs.replace(settings.keeper, env={"PYTHONPATH": str(ROOT)})
    )
    warnings: list[str] = []
    try:
        async with office(settings, warnings.append) as opened:
            found = Stage(api, opened, settings)
            found.warnings = warnings
            yield found
    finally:
        await api.stop()
        if settings.children.user is not None:
            shutil.rmtree(settings.own_dir, ignore_errors=True)


def on(verb: str, answer: Answer, ti_id: object = "", times: int | None = None) -> Callable[[Call], Answer | None]:
    """Give a fault: this answer to calls that end so, of one task instance or of all, so often or always."""
    left = [times]

    def fault(call: Call) -> Answer | None:
        if not call.path.endswith(f"/{verb}") or str(ti_id) not in call.path:
            return None
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                return None
        return answer

    return fault
