"""A child as the supervisor knows it."""

import asyncio
import contextlib
import functools
import os
import select
from collections.abc import Iterator

import msgspec

from supervisor.keeper import identity
from supervisor.keeper.link import Exited, Reaped, SpawnRequest, Usage

SLATE = 3
"""Which of a child's fds it is."""


class SpawnError(Exception):
    """There is no child, and why. `ran` when it cannot be excluded that it ran for a moment."""

    def __init__(self, reason: str, *, ran: bool = False) -> None:
        super().__init__(reason)
        self.ran = ran


class Ending(msgspec.Struct, frozen=True):
    """How a child ended. When neither `code` nor `signal` is known, whoever knew it died in the same moment."""

    code: int | None
    signal: int | None
    core: bool = False
    usage: Usage | None = None
    oom_kills: int = 0
    strays: int = 0
    left: int = 0


class Child:
    """One running child. The channel ends belong to whoever spawned it, the pidfd to the client."""

    def __init__(self, request: SpawnRequest, pid: int, fds: list[int], tmpdir: str) -> None:
        self.request = request
        self.attempt = request.attempt
        self.pid = pid
        self.tmpdir = tmpdir
        self.pidfd, self.stdout_fd, self.stderr_fd, self.slate_fd = fds[:4]
        self.frames_fd: int | None = fds[4] if request.frames else None
        self.logs_fd: int | None = fds[5] if request.frames else None
        self.warnings: list[str] = []
        """What of the request this machine cannot do, in words for the attempt's log."""
        self.exited: asyncio.Future[Exited] = asyncio.get_running_loop().create_future()
        """The status, the moment it is known: the child's tree has been killed but may not be gone yet."""
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    @functools.cached_property
    def start_time(self) -> int:
        """When the kernel started it, which with the pid names it for good; 0 when it has ended too soon to say.

        Asked here and not by the keeper: there, with a fork's pages still shared, asking costs 0.1 ms.
        """
        try:
            began = identity.start_time(self.pid)
        except identity.GoneError:
            return 0
        still_there = self.pidfd != -1 and not _ended(self.pidfd)
        return began if still_there else 0

    async def wait(self) -> Ending:
        """Wait until nothing of the child is left. Any number may wait, and giving up harms nobody else's waiting."""
        return await asyncio.shield(self.ended)

    async def wait_for(self, seconds: float) -> Ending | None:
        """Wait so long at most; None when that was not enough."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.wait()
        return None

    def channel_ends(self) -> Iterator[int]:
        """Give the fds that the caller owns."""
        ends = (self.stdout_fd, self.stderr_fd, self.slate_fd, self.frames_fd, self.logs_fd)
        yield from (fd for fd in ends if fd is not None)

    def close_channel_ends(self) -> None:
        """Close them all: for a caller who has not handed any of them on."""
        for fd in self.channel_ends():
            with contextlib.suppress(OSError):
                os.close(fd)

    # Below: for the client.

    def tell_exit(self, exited: Exited) -> None:
        """Make the status known."""
        if not self.exited.done():
            self.exited.set_result(exited)

    def tell_end(self, reaped: Reaped | None) -> None:
        """Make the end known; None where nobody counted."""
        status = self.exited.result() if self.exited.done() else None
        if self.ended.done():
            return
        os.close(self.pidfd)
        self.pidfd = -1
        code, number, core = (status.code, status.signal, status.core) if status else (None, None, False)
        if reaped is None:
            self.ended.set_result(Ending(code, number, core))
        else:
            self.ended.set_result(
                Ending(code, number, core, reaped.usage, reaped.oom_kills, reaped.strays, reaped.left)
            )


def _ended(pidfd: int) -> bool:
    """Whether the process has ended. By poll, because select cannot look at a fd above 1023."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
