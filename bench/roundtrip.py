"""A question of a child's and its answer, without HTTP: `python -m bench.roundtrip [--quick] [--json]`.

The child is a forked Python child of a real keeper; it asks with `RunnerSession` over its channel and blocks for the
answer. The supervisor hears with `FrameChannel` and `SupervisorSession`, on asyncio, and answers at once. The floor is
a ping-pong of the same number of bytes between two processes over a raw socketpair, blocking at both ends: what is
beyond it is what protocol, channel and loop cost. Medians of interleaved batches.
"""

import asyncio
import os
import socket
import sys
import tempfile
import time
from datetime import UTC, datetime
from uuid import UUID

from bench.children import WARM_UP
from bench.harness import Row, emit, median_and_spread
from protocol.messages.runs import DagRun, DagRunState, DagRunType
from protocol.messages.startup import BundleInfo, StartupDetails, TaskInstance, TIRunContext
from protocol.messages.variables import GetVariable, VariableResult
from protocol.session import Asked, Heard, RunnerSession, SupervisorSession
from supervisor.channels import FrameChannel
from supervisor.keeper.client import KeeperClient, KeeperSettings, Kind, SpawnRequest

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
IDENTITY = UUID(int=1)


def greeting() -> StartupDetails:
    """Give what a conversation begins with."""
    run = DagRun(
        dag_id="flow",
        run_id="run",
        logical_date=None,
        data_interval_start=None,
        data_interval_end=None,
        run_after=MOMENT,
        start_date=MOMENT,
        end_date=None,
        run_type=DagRunType.MANUAL,
        state=DagRunState.RUNNING,
        consumed_asset_events=[],
        partition_key=None,
    )
    task = TaskInstance(IDENTITY, "task", "flow", "run", 1, IDENTITY)
    context = TIRunContext(run, max_tries=1)
    return StartupDetails(task, "flow.py", BundleInfo("local"), MOMENT, context, "")


async def ours(client: KeeperClient, number: int, count: int) -> float:
    """Give the median of one child's questions."""
    child = await client.spawn(SpawnRequest(f"n{number}", Kind.PYTHON, env={"COUNT": str(count)}))
    assert child.frames_fd is not None
    session = SupervisorSession()

    def hear(event: Heard) -> None:
        if isinstance(event, Asked):
            channel.send(session.answer(event.id, VariableResult("key", "value")))

    channel = FrameChannel(child.frames_fd, session, hear)
    channel.open()
    channel.send(session.greet(greeting()))
    ending = await child.wait()
    result = os.read(child.stdout_fd, 100)
    assert ending.code == 0, os.read(child.stderr_fd, 10_000).decode()
    channel.close()
    for fd in (child.stdout_fd, child.stderr_fd, child.slate_fd, child.logs_fd):
        assert fd is not None
        os.close(fd)
    return float(result)


def floor(count: int, size_out: int, size_back: int) -> float:
    """Give the median of a raw ping-pong."""
    ours_, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        back = bytes(size_back)
        for _ in range(count + WARM_UP):
            theirs.recv(65536)
            theirs.sendall(back)
        os._exit(0)
    out, times = bytes(size_out), []
    for _ in range(count + WARM_UP):
        began = time.perf_counter()
        ours_.sendall(out)
        ours_.recv(65536)
        times.append(time.perf_counter() - began)
    os.waitpid(pid, 0)
    ours_.close()
    theirs.close()
    return sorted(times[WARM_UP:])[count // 2] * 1e6


async def measure(count: int, runs: int) -> tuple[list[float], list[float]]:
    """Measure both in turns."""
    found: tuple[list[float], list[float]] = ([], [])
    question = RunnerSession()
    supervisor = SupervisorSession()
    question.receive(supervisor.greet(greeting()))
    number, data = question.ask(GetVariable("key"))
    supervisor.receive(data)
    answer = supervisor.answer(number, VariableResult("key", "value"))
    with tempfile.TemporaryDirectory() as folder:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        client = KeeperClient(KeeperSettings(folder, "bench.children:asking", env=env))
        await client.start()
        for number in range(runs):
            found[0].append(await ours(client, number, count))
            found[1].append(floor(count, len(data), len(answer)))
        await client.stop()
    return found


def main(arguments: list[str]) -> None:
    """Measure and print."""
    count, runs = (2_000, 3) if "--quick" in arguments else (10_000, 7)
    mine, bare = asyncio.run(measure(count, runs))
    middle, spread = median_and_spread(mine)
    lowest, _ = median_and_spread(bare)
    rows = [
        Row("round trip without HTTP", "us", middle, {"raw ping-pong": lowest}, lowest, runs, spread),
        Row("round trip, as a multiple of the raw ping-pong", "x", middle / lowest, {}, 1.0, runs, spread / lowest),
    ]
    emit(rows, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
