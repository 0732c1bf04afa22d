"""A worker is killed while its tasks run, and the next one adopts them: nobody notices but who looks at pids."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any

import pytest

from bench.minimal_api import Answer, Call, MinimalApi
from supervisor.journal_files import folder_of, read
from supervisor.keeper.identity import GoneError, start_time, stat_fields
from tests.system.leaving import processes_of
from tests.system.test_commands import PLAIN, TOKEN, output, worker, workload
from tests.system.test_kill_points import kill_family
from tests.system.world import on, play

pytestmark = pytest.mark.slow

COMMAND = {"runtime": "command", "command": [sys.executable, "-m", "tests.system.children"]}


class World:
    """One API, one state directory, and the workers on it, one after the other."""

    def __init__(self, folder: Path, api: MinimalApi, url: str, environ: dict[str, str]) -> None:
        self.folder = folder
        self.api = api
        self._url = url
        self._environ = environ
        self.workers: list[Process] = []
        self.given: list[dict[str, Any]] = []
        self.complaints = ""

    async def start(self, *, ready: bool = True, **environ: str) -> Process:
        """Start the next one, and wait until it is ready."""
        variables = {**TOKEN, **self._environ, **environ}
        process = await worker(self.folder, "run", "--api", self._url, "--slots", "300", **variables)
        self.workers.append(process)
        assert process.stderr is not None
        while ready and b"ready" not in (line := await process.stderr.readline()):
            self.complaints += line.decode()
        return process

    async def kill(self) -> None:
        """Kill the last one, and nobody else."""
        self.workers[-1].kill()
        await output(self.workers[-1])

    def give(self, **more: Any) -> str:
        """Queue a workload: the name of its task instance."""
        found = workload(self.api, len(self.given) + 1, **more)
        self.given.append(found)
        self.api.queue(found)
        ti: str = found["ti"]["id"]
        return ti

    async def running(self) -> None:
        """Wait until all run and are written down."""
        count = len(self.given)
        await self.api.until(lambda api: list(api.states.values()).count("running") == count)
        while len(read(folder_of(self.folder)).story.entries) < count:  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.01)

    async def here(self, count: int) -> None:
        """Wait until so many children have said that they are there."""
        while self.lines().count("here") < count:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)

    def go(self) -> None:
        """Let the children go on."""
        (self.folder / "go").touch()

    async def children_left(self, count: int) -> None:
        """Wait until only so many of the first worker's children live."""
        while len(self.children()) > count:  # noqa: ASYNC110 - nobody tells of another's child
            await asyncio.sleep(0.01)

    def children(self) -> list[int]:
        """Give the children of the first worker: those of its keeper."""
        family = processes_of(self.workers[0].pid)
        return [pid for pid in family if parent_of(pid) in family]

    async def told(self) -> None:
        """Wait until the server knows of all ends."""
        await self.api.until(lambda api: "running" not in api.states.values())

    async def stop(self) -> None:
        """Drain the last one."""
        self.workers[-1].send_signal(signal.SIGTERM)
        code, _, complaints = await output(self.workers[-1])
        self.complaints += complaints
        assert code == 0, complaints

    def ends(self) -> list[list[tuple[str, str | None]]]:
        """Give what the server was told of each: state and kind."""
        every = [self.api.ends.get(each["ti"]["id"], []) for each in self.given]
        return [[(body["state"], body.get("kind")) for body in told] for told in every]

    def starts(self) -> int:
        """Count how often the server was asked for a start."""
        return sum(call.path.endswith("/run") for call in self.api.calls)

    def records(self) -> list[dict[str, Any]]:
        """Give all lines of all logs."""
        logs = sorted(self.folder.glob("worker-logs/**/*.jsonl"))
        return [json.loads(line) for log in logs for line in log.read_text().splitlines() if line.endswith("}")]

    def lines(self) -> list[str]:
        """Give what they say."""
        return [record["event"] for record in self.records()]


def parent_of(pid: int) -> int:
    try:
        return int(stat_fields(pid)[1])
    except GoneError:
        return 0


def age_of(pid: int) -> float:
    """Give for how many seconds a process is there. One that has ended before is as old as any."""
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME) - start_time(pid) / os.sysconf("SC_CLK_TCK")
    except GoneError:
        return inf


@asynccontextmanager
async def world(folder: Path, **environ: str) -> AsyncIterator[World]:
    api = MinimalApi()
    found = World(folder, api, await api.start(), environ)
    try:
        yield found
    finally:
        for process in found.workers:
            if process.returncode is None:
                process.kill()
                await process.communicate()
            kill_family(process.pid)
        await api.stop()


def test_tasks_that_end_while_no_worker_is_there_are_told_of_as_they_ended(tmp_path: Path) -> None:
    async def scenario() -> World:
        async with world(tmp_path) as found:
            await found.start()
            found.give(task_id="meanwhile.say.success")
            found.give(task_id="meanwhile.exits.3")
            found.give(task_id="meanwhile.say.failed.segv", **COMMAND)
            wait = f"until [ -e {tmp_path / 'go'} ]; do sleep 0.02; done"
            found.give(command=["sh", "-c", f"echo here; {wait}; echo bye; exit 5"], **PLAIN)
            found.give(command=["sh", "-c", f"echo here; {wait}; echo bye"], **PLAIN)
            await found.here(5)
            await found.running()
            await found.kill()
            code, out, _ = await output(await worker(tmp_path, "outbox", "--json"))
            listed = json.loads(out)  # of a killed worker, what its keeper holds is not lost
            assert (code, listed["worker"], listed["undelivered"], len(listed["running"])) == (0, None, [], 5)
            found.go()
            await found.children_left(2)  # those who have said their word, and wait for the answer
            await found.start()
            await found.told()
            await found.children_left(0)
            await found.stop()
            assert processes_of(found.workers[0].pid) == []
        return found

    found = play(scenario())
    assert "attempts adopted from the last supervisor: 5" in found.complaints
    assert found.ends() == [
        [("success", None)],
        [("failed", "app")],
        [("failed", None)],
        [("failed", "app")],
        [("success", None)],
    ]
    assert found.starts() == 5
    ends = [call for call in found.api.calls if call.path.endswith("/state")]
    assert [call.headers["authorization"] for call in ends] == [
        f"Bearer execution-{call.segments[-2]}" for call in ends
    ]
    assert found.lines().count("bye") == 2
    ended = [record for record in found.records() if record["event"] == "the attempt ended"]
    assert sorted(record["exit"] for record in ended if "signal" not in record) == [0, 0, 3, 5]
    assert all(record["max_rss"] > 0 for record in ended)
    assert read(folder_of(tmp_path)).story.entries == {}
    assert [*(tmp_path / "tmp").iterdir()] == [*(tmp_path / "keepers").iterdir()] == []


async def adopted(found: World, *tasks: dict[str, Any]) -> None:
    """Have these run, the worker killed, the tasks go on, and another worker take over until all have ended."""
    await found.start()
    for task in tasks:
        found.give(**task)
    await found.here(len(tasks))
    await found.running()
    await found.kill()
    found.go()
    await found.start()
    await found.told()
    await found.children_left(0)
    await found.stop()


def test_a_question_that_nobody_heard_is_answered_by_the_next_worker(tmp_path: Path) -> None:
    async def scenario() -> World:
        async with world(tmp_path) as found:
            found.api.variables["k"] = "v"
            tasks = ["read.20", "pipelined.300", "bytewise", "save.exit0", "collides"]
            await adopted(found, *({"task_id": f"meanwhile.{task}"} for task in tasks))
        return found

    found = play(scenario())
    assert [told[0][0] for told in found.ends()] == ["success", "success", "success", "failed", "success"]
    assert all(len(told) == 1 for told in found.ends())
    assert len(found.api.checkpoints) == 1


def test_a_question_that_was_heard_and_not_answered_is_answered_by_the_next_worker(tmp_path: Path) -> None:
    """The API keeps the answer back until the first worker is dead: its questions died with it, but for the slate."""

    async def scenario() -> World:
        async with world(tmp_path) as found:
            heard: list[Call] = []

            def slow(call: Call) -> Answer | None:
                if "/variables/" in call.path and found.workers[-1] is found.workers[0]:
                    heard.append(call)
                    found.api.told.set()
                    return Answer(0, delay_s=20.0)
                return None

            found.api.faults.append(slow)
            found.api.variables["k"] = "v"
            await found.start()
            found.give(task_id="read.3")
            found.give(task_id="pipelined.200")
            await found.running()
            while len(heard) < 33:
                found.api.told.clear()
                await found.api.told.wait()
            await found.kill()
            await found.start()
            await found.told()
            await found.children_left(0)
            await found.stop()
        return found

    found = play(scenario())
    assert found.ends() == [[("success", None)], [("success", None)]]


def test_a_flood_of_lines_is_written_by_two_workers_and_none_of_it_twice(tmp_path: Path) -> None:
    async def scenario() -> World:
        async with world(tmp_path) as found:
            await found.start()
            found.give(task_id="meanwhile.prints.20000")
            await found.here(1)
            await found.running()
            found.go()
            while len(found.lines()) < 2000:  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(0.01)
            await found.kill()
            await found.start()
            await found.told()
            await found.children_left(0)
            await found.stop()
        return found

    found = play(scenario())
    assert found.ends() == [[("success", None)]]
    numbers = [int(line.split()[1]) for line in found.lines() if line.startswith("line ")]
    assert len(set(numbers)) == len(numbers)
    assert numbers == sorted(numbers)
    warned = [record["bytes"] for record in found.records() if record["event"].startswith("lines may be missing")]
    assert (len(numbers) < 20000) <= bool(warned)
    assert (20000 - len(numbers)) * 100 <= sum(warned)


def test_deadlines_that_pass_while_no_worker_is_there_have_passed(tmp_path: Path) -> None:
    async def scenario() -> World:
        async with world(tmp_path) as found:
            await found.start()
            found.give(task_id="limited")
            deaf = "trap '' TERM; echo here; sleep 100"
            found.give(command=["sh", "-c", deaf], policy={"execution_timeout_s": 0.5}, **PLAIN)
            await found.running()
            await found.here(1)
            await found.kill()
            children = found.children()
            while min(map(age_of, children)) < 0.6:  # noqa: ASYNC110 - nobody tells when another's child is so old
                await asyncio.sleep(0.01)
            await found.start()
            await found.told()
            await found.stop()
        return found

    assert play(scenario()).ends() == [[("failed", "timeout")], [("failed", "timeout")]]


def test_a_stop_that_was_asked_for_goes_on_and_another_can_be(tmp_path: Path) -> None:
    """The first task is being stopped when its worker is killed, and asks the next one why; that stops the other."""

    async def scenario() -> World:
        async with world(tmp_path, TASKHAND_LIMITS_HEARTBEAT_S="0.1") as found:
            await found.start()
            first = found.give(task_id="stops.100")
            found.give(task_id="stops.0")
            await found.here(2)
            await found.running()
            found.api.faults.append(on("heartbeat", Answer(204, None, (("Taskhand-Stop", "evict"),)), first, times=1))
            while "noticed" not in found.lines():  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            await found.kill()
            found.go()
            await found.start()
            await found.api.until(lambda api: api.states[first] == "checkpointed")
            await found.stop()
        return found

    found = play(scenario())
    assert found.ends() == [[("checkpointed", None)], [("checkpointed", None)]]
    assert sorted(line.removeprefix("reason ") for line in found.lines() if line.startswith("reason ")) == [
        "drain",
        "evict",
    ]


def test_without_a_worker_a_keeper_stops_the_children_before_their_lease_ends(tmp_path: Path) -> None:
    """With time for a checkpoint; and the one that is deaf to SIGTERM is killed."""
    lease = {"seconds": 3.0, "fence": 1}
    waits = "echo here; while :; do sleep 0.05; done"
    saves = "echo 1 > $TASKHAND_CHECKPOINT_DIR/c; exit 85"

    async def scenario() -> tuple[World, float]:
        async with world(tmp_path) as found:
            await found.start()
            found.give(task_id="saves", command=["sh", "-c", f"trap '{saves}' TERM; {waits}"], lease=lease, **PLAIN)
            found.give(task_id="deaf", command=["sh", "-c", f"trap '' TERM; {waits}"], lease=lease, **PLAIN)
            await found.here(2)
            await found.running()
            loop = asyncio.get_running_loop()
            await found.kill()
            killed = loop.time()
            await found.children_left(0)
            took = loop.time() - killed
            await found.start()
            await found.told()
            await found.stop()
        return found, took

    found, took = play(scenario())
    assert 1.0 < took < 3.2
    assert sum(map(len, found.api.checkpoints.values())) == 1
    assert [told[0][0] for told in found.ends()] == ["checkpointed", "up_for_reschedule"]


def test_a_word_that_was_written_down_outlives_the_end_of_its_lease(tmp_path: Path) -> None:
    """Its child waits for the answer, and is ended by its keeper before anybody can give it."""

    async def scenario() -> World:
        async with world(tmp_path) as found:
            found.api.faults.append(on("state", Answer(503)))
            await found.start()
            found.give(task_id="say.success", lease={"seconds": 3.0, "fence": 1})
            while not any(entry.owed for entry in read(folder_of(tmp_path)).story.entries.values()):  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(0.01)
            await found.kill()
            await found.children_left(0)
            found.api.faults.clear()
            await found.start()
            await found.told()
            await found.stop()
        return found

    found = play(scenario())
    assert found.ends() == [[("success", None)]]
