"""Where workloads come from. One interface, one exercise for all of them (tests/supervisor/exercise_source.py)."""

import asyncio
import select
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol

import msgspec

from protocol.http.workloads import ClaimRequest, ExecuteTask
from supervisor.api import Client, Token

LINE_CAP = 16 * 1024 * 1024


class Source(Protocol):
    """Gives workloads for free slots."""

    async def take(self, slots: int) -> list[ExecuteTask] | None:
        """Wait for workloads, at most so many; an empty list means to ask again, None that no more will come.

        May be cancelled at any time; what was given before stays given.
        """

    async def close(self) -> None:
        """Give no more. Twice is fine."""


class BadWorkload(ValueError):
    """Not a workload, and why."""


def read(data: bytes | str) -> ExecuteTask:
    """Read a workload from its JSON."""
    try:
        return msgspec.json.decode(data, type=ExecuteTask)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadWorkload(str(error)) from error


class ListSource:
    """Workloads that are there already: one for `worker exec`, several in tests."""

    def __init__(self, workloads: Sequence[ExecuteTask]) -> None:
        self._workloads = deque(workloads)

    async def take(self, slots: int) -> list[ExecuteTask] | None:
        """Give the next ones."""
        if not self._workloads:
            return None
        return [self._workloads.popleft() for _ in range(min(slots, len(self._workloads)))]

    async def close(self) -> None:
        """Forget what was not given."""
        self._workloads.clear()


class StdinSource:
    """Workloads as JSON lines. A line that is none is complained about and passed over."""

    def __init__(self, stream: BinaryIO | None = None, complain: Callable[[str], None] = lambda _: None) -> None:
        self._stream = stream
        self._complain = complain
        self._reader: asyncio.StreamReader | None = None
        self._transport: asyncio.ReadTransport | None = None

    async def take(self, slots: int) -> list[ExecuteTask] | None:
        """Give the next line's workload: the others wait in the pipe, which is the brake for whoever writes them."""
        del slots
        try:
            line = await self._line()
        except ValueError:
            self._complain(f"a line of more than {LINE_CAP} bytes")
            return None
        if not line:
            return None
        try:
            return [read(line)] if line.strip() else []
        except BadWorkload as error:
            self._complain(f"not a workload: {error}")
            return []

    async def close(self) -> None:
        """Read no more."""
        if self._transport is not None:
            self._transport.close()

    async def _line(self) -> bytes:
        stream = self._stream or sys.stdin.buffer
        if self._reader is None and not _is_waited_for(stream):
            line: bytes = await asyncio.to_thread(stream.readline, LINE_CAP + 1)
            if len(line) > LINE_CAP:
                raise ValueError
            return line
        if self._reader is None:
            self._reader = asyncio.StreamReader(LINE_CAP)
            protocol = asyncio.StreamReaderProtocol(self._reader)
            self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, stream)
        return await self._reader.readline()


def _is_waited_for(stream: BinaryIO) -> bool:
    """Say whether the kernel tells when it can be read. Of a file and of /dev/null it does not: uvloop aborts there."""
    with select.epoll() as poll:
        try:
            poll.register(stream, select.EPOLLIN)
        except PermissionError:
            return False
    return True


class ClaimSource:
    """Workloads from a server of ours. A claim waits at the server: an idle worker neither spins nor is late."""

    def __init__(self, client: Client, token: str, request: ClaimRequest) -> None:
        self._client = client
        self._token = Token(token)
        self._request = request
        self._closed = False

    async def take(self, slots: int) -> list[ExecuteTask] | None:
        """Claim."""
        if self._closed:
            return None
        request = msgspec.structs.replace(self._request, slots=slots)
        return (await self._client.claim(request, self._token)).workloads

    async def close(self) -> None:
        """Claim no more."""
        self._closed = True
