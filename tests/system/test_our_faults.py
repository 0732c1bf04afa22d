"""When the fault is ours: one attempt's supervision ends, loudly; its child does not run on, and the others do."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from supervisor.api import Call, Client, Token
from supervisor.records import Record
from supervisor.sources import ListSource
from supervisor.worker import Worker
from tests.system.test_commands import PLAIN
from tests.system.world import play, stage

pytestmark = pytest.mark.slow


class Faulty(Client):
    """A client with a bug, in the calls of one task instance."""

    def __init__(self, inner: Client, ti_id: object) -> None:
        self.__dict__ = inner.__dict__
        self.ti_id = str(ti_id)

    async def timed(self, call: Call, token: Token, read: Any) -> Any:
        if self.ti_id in call.target:
            raise RuntimeError("a bug of ours")
        return await super().timed(call, token, read)


def test_a_fault_of_ours_ends_one_attempt_and_no_other(tmp_path: Path) -> None:
    faults: list[str] = []
    records: list[Record] = []

    async def scenario() -> dict[str, Any]:
        async with stage(tmp_path) as found:
            sick, well = found.workload("silent.hang"), found.workload("say.success")
            office = replace(found.office, client=Faulty(found.office.client, sick.ti.id))
            worker = Worker(office, found.settings, ListSource([sick, well]), records.append, faults.append)
            await worker.run()
            children = dict(found.office.keeper.children)
            for child in children.values():
                await child.wait()
            return found.office.keeper.children

    assert play(scenario()) == {}
    assert [record.outcome for record in records] == ["success"]
    assert len(faults) == 1
    assert "RuntimeError: a bug of ours" in faults[0]


def test_an_attempt_that_is_called_off_lets_go_of_a_child_that_asks_and_prints(tmp_path: Path) -> None:
    """Whoever still listened to it would find its slate closed, in every turn of the loop."""
    complaints: list[str] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
        async with stage(tmp_path) as found:
            found.api.variables["k"] = "v"
            workloads = [found.workload("read.1000000"), found.workload("t", command=["yes"], **PLAIN)]
            running = [asyncio.ensure_future(found.attempt(each).run()) for each in workloads]
            await found.api.until(lambda api: sum("/variables/" in call.path for call in api.calls) >= 3)
            await found.asked(workloads[1].ti.id, "heartbeat")
            for each in running:
                each.cancel()
            await asyncio.wait(running)
            for child in [*found.office.keeper.children.values()]:
                await child.wait()
            gc.collect()  # what a task failed at is told when nobody has it any more

    play(scenario())
    assert complaints == []
