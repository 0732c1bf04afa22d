"""Memory of each further sleeping child (PSS), keeper's share included: `python -m bench.memory [--quick] [--json]`.

Children of a real keeper with the protocol imported and its decoder made, each with its channels, asleep. PSS divides a
shared page among those who share it, so the sum over keeper and children, and its growth per child, is what the machine
spends. The floor is a bare fork of a program of that size, which sleeps and has touched nothing. Further: what the
supervisor's side grows by per child.
"""

import asyncio
import os
import signal
import sys
import tempfile

from bench.harness import Row, emit, median_and_spread
from bench.meter import pss_kib
from bench.roundtrip import greeting
from protocol.session import Heard, SupervisorSession
from supervisor.channels import FrameChannel
from supervisor.keeper.client import KeeperClient, KeeperSettings, Kind, Scope, SpawnRequest


def floor_kib(count: int) -> float:
    """Give the growth per bare fork of this process."""
    first = _forks(2)
    before = pss_kib([os.getpid(), *first])
    more = _forks(count)
    grown = pss_kib([os.getpid(), *first, *more]) - before
    for pid in first + more:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return grown / count


def _forks(count: int) -> list[int]:
    pids = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
        pids.append(pid)
    return pids


async def ours_kib(count: int) -> tuple[float, float]:
    """Give the growth per child of keeper and children, and of the supervisor."""
    with tempfile.TemporaryDirectory() as folder:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        client = KeeperClient(KeeperSettings(folder, "bench.children:sleeping", env=env))
        await client.start()
        channels = [await _one(client, number) for number in range(4)]
        keeper, here = _family(client), pss_kib([os.getpid()])
        before = pss_kib(keeper)
        channels += [await _one(client, number) for number in range(4, 4 + count)]
        grown, grown_here = pss_kib(_family(client)) - before, pss_kib([os.getpid()]) - here
        children = list(client.children.values())
        for child in children:
            client.kill(child, signal.SIGKILL, Scope.TREE)
        for child, channel in zip(children, channels, strict=True):
            await child.wait()
            channel.close()
            for fd in (child.stdout_fd, child.stderr_fd, child.slate_fd, child.logs_fd):
                os.close(fd or -1)
        await client.stop()
    return grown / count, grown_here / count


def _family(client: KeeperClient) -> list[int]:
    return [*client.keeper_pids, *(child.pid for child in client.children.values())]


async def _one(client: KeeperClient, number: int) -> "FrameChannel[Heard]":
    child = await client.spawn(SpawnRequest(f"n{number}", Kind.PYTHON))
    assert child.frames_fd is not None
    session = SupervisorSession()
    channel: FrameChannel[Heard] = FrameChannel(child.frames_fd, session, lambda _: None)
    channel.open()
    channel.send(session.greet(greeting()))
    assert await asyncio.to_thread(os.read, child.stdout_fd, 100) == b"asleep\n"
    return channel


def main(arguments: list[str]) -> None:
    """Measure and print."""
    count, runs = (30, 1) if "--quick" in arguments else (200, 3)
    mine, here, bare = [], [], []
    for _ in range(runs):
        bare.append(floor_kib(count))
        grown, grown_here = asyncio.run(ours_kib(count))
        mine.append(grown / 1024)
        here.append(grown_here / 1024)
    rows = []
    for name, values, lowest in (
        ("PSS of keeper and child per further sleeping child", mine, median_and_spread(bare)[0] / 1024),
        ("PSS of the supervisor per further sleeping child, channels only", here, None),
    ):
        middle, spread = median_and_spread(values)
        rows.append(Row(name, "MiB", middle, {}, lowest, runs, spread))
    emit(rows, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
