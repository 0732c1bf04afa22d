"""Children end when keeper and supervisor are both killed, whatever they ignore, and not when one of the two is."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.keeper.client import KeeperClient
from tests.supervisor.keeper.test_spawning import ROOT_ONLY
from tests.supervisor.keeper.world import ENV, alive, ended, fds, in_loop, line, settings, shell, until
from tests.system.world import measured

ACCOUNTS = pytest.mark.parametrize(
    "uid", [0, pytest.param(65534, marks=ROOT_ONLY)], ids=["our account", "another account"]
)


@contextlib.contextmanager
def running(folder: Path, uid: int = 0) -> Iterator[tuple[subprocess.Popen[bytes], int, list[int]]]:
    """A supervisor, its keeper, and children of it; what is left of them in the end is killed."""
    command = [sys.executable, "-m", "tests.supervisor.keeper.leashed", str(folder), str(uid)]
    with subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        keeper, *children = (int(word) for word in supervisor.stdout.readline().split())
        assert len(children) == 3
        try:
            yield supervisor, keeper, children
        finally:
            for pid in (supervisor.pid, keeper, *children):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@ACCOUNTS
@pytest.mark.parametrize("order", ["keeper first", "supervisor first"])
@in_loop
async def test_with_one_of_them_children_live_and_without_both_they_end(place: Path, order: str, uid: int) -> None:
    with running(place, uid) as (supervisor, keeper, children):
        first, second = (keeper, supervisor.pid) if order == "keeper first" else (supervisor.pid, keeper)
        os.kill(first, signal.SIGKILL)
        await ended(first)
        assert all(map(alive, children))
        began = time.monotonic()
        os.kill(second, signal.SIGKILL)
        await asyncio.gather(*map(ended, children))
        measured(f"{order}: children were gone {time.monotonic() - began:.3f} s after the other was killed")


@ACCOUNTS
@in_loop
async def test_both_at_once(place: Path, uid: int) -> None:
    with running(place, uid) as (supervisor, keeper, children):
        for pid in (supervisor.pid, keeper):
            os.kill(pid, signal.SIGSTOP)  # neither of them sees the other one go
        assert all(map(alive, children))
        for pid in (supervisor.pid, keeper):
            os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*map(ended, children))


@in_loop
async def test_who_adopts_them_holds_them(tmp_path: Path) -> None:
    """The second supervisor has its end from the keeper, and gives it back when the last child has ended."""
    before = fds()
    with running(tmp_path) as (supervisor, keeper, children):
        supervisor.kill()
        supervisor.wait()
        client = KeeperClient(settings(tmp_path, doors=str(tmp_path / "doors")))
        found = await client.adopt()
        os.kill(keeper, signal.SIGKILL)
        await until(lambda: client.keeper_pids == [])
        assert all(map(alive, children))
        for child in found:
            child.close_channel_ends()
        assert len(found) == 2
        await client.stop()
        await asyncio.gather(*map(ended, children))
        assert supervisor.stdout is not None
        supervisor.stdout.close()
    assert fds() == before


@in_loop
async def test_a_leash_is_closed_with_the_last_child_of_its_keeper(tmp_path: Path) -> None:
    client = KeeperClient(settings(tmp_path))
    await client.start()
    children = [await client.spawn(shell("echo; read -r _; exec sleep 1000", name)) for name in ("one", "two")]
    for child in children:
        await line(child)
        child.close_channel_ends()
    keeper = client.serving_pid
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    await until(lambda: keeper not in client.keeper_pids)
    leashes = [os.readlink(f"/proc/{child.pid}/fd/5") for child in children]
    assert leashes[0] == leashes[1]
    for child, held in zip(children, (True, False), strict=True):
        assert leashes[0] in ours()
        client.kill(child, signal.SIGKILL)
        await child.wait()
        assert (leashes[0] in ours()) is held
    await client.stop()


def ours() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found
