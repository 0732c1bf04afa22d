"""What the tests of the keeper share: a loop for a test, a client that is stopped whatever happens, and waiting."""

import asyncio
import contextlib
import functools
import os
import select
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import ParamSpec

import msgspec

from supervisor.keeper.client import Child, KeeperClient, KeeperSettings, Kind, SpawnRequest
from supervisor.keeper.link import Limits
from tests.architecture.layout import ROOT

P = ParamSpec("P")
ENTRY = "tests.supervisor.keeper.entries:main"
ENV = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def in_loop(test: Callable[P, Coroutine[object, object, None]]) -> Callable[P, None]:
    """Make a test that is asynchronous one that pytest can run."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def settings(tmp_path: Path, **changed: object) -> KeeperSettings:
    base = KeeperSettings(str(tmp_path / "children"), ENTRY, env=ENV, recheck_s=0.0, cgroup=None)
    return msgspec.structs.replace(base, **changed)


@contextlib.asynccontextmanager
async def keeper(tmp_path: Path, **changed: object) -> AsyncIterator[KeeperClient]:
    """A started client. When it is stopped no process, fd or directory of it may be left."""
    client = KeeperClient(settings(tmp_path, **changed))
    before = fds()
    await client.start()
    try:
        yield client
    finally:
        await client.stop()
    assert client.keeper_pids == []
    assert list((tmp_path / "children").iterdir()) == []
    assert fds() == before


def python(act: str, attempt: str = "attempt", limits: Limits | None = None) -> SpawnRequest:
    """A Python child that does this."""
    return SpawnRequest(attempt, Kind.PYTHON, env={"TASKHAND_ACT": act}, limits=limits or Limits())


def shell(script: str, attempt: str = "attempt", limits: Limits | None = None) -> SpawnRequest:
    """A shell that does this; no frames."""
    return SpawnRequest(attempt, Kind.EXEC, ("/bin/sh", "-c", script), frames=False, limits=limits or Limits())


def program(source: str, attempt: str = "attempt") -> SpawnRequest:
    """A fresh interpreter that does this; with frames, but without our runner."""
    return SpawnRequest(attempt, Kind.EXEC, (sys.executable, "-S", "-c", source))


async def output(child: Child) -> str:
    """Read its stdout to the end, and close all its channels. The end comes when nobody is left who could print."""
    loop = asyncio.get_running_loop()
    text = await loop.run_in_executor(None, _read_all, child.stdout_fd)
    child.close_channel_ends()
    return text.decode()


async def line(child: Child) -> str:
    """Read one line of its stdout: how a child says that it has come to a point."""
    return (await asyncio.get_running_loop().run_in_executor(None, _read_line, child.stdout_fd)).decode().strip()


async def until(true: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait for what nobody announces, such as a process of somebody else's being gone."""
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.002)


async def ended(pid: int) -> None:
    """Wait until a process that is not ours has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await asyncio.get_running_loop().run_in_executor(None, select.select, [pidfd], [], [], 20.0)
        assert select.select([pidfd], [], [], 0)[0]
    finally:
        os.close(pidfd)


def alive(pid: int) -> bool:
    """Whether a process runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def fds() -> int:
    """How many fds this process has."""
    return len(os.listdir("/proc/self/fd"))


async def failing(awaited: Awaitable[object], error: type[Exception]) -> str:
    """Give the words of the error that this must end with."""
    try:
        await awaited
    except error as raised:
        return str(raised)
    raise AssertionError(f"no {error.__name__} was raised")


def _read_all(fd: int) -> bytes:
    found = b""
    while part := os.read(fd, 65536):
        found += part
    return found


def _read_line(fd: int) -> bytes:
    found = b""
    while not found.endswith(b"\n") and (part := os.read(fd, 1)):
        found += part
    return found
