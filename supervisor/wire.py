"""The connections to an API: a request out, an answer back, over a pool that is kept alive.

One interface, `Wire`, and two drivers that pass one exercise (tests/supervisor/test_wire.py): `LeanWire`, on asyncio's
own transports and `supervisor.http1`, which is what every attempt uses; and `HttpxWire`, for who has to go through a
proxy. Everything that can go wrong below HTTP ends here as a `WireFault`, which says whether the request can have
reached anyone.
"""

import asyncio
import ssl
from collections import deque
from typing import Protocol, cast
from urllib.parse import urlsplit

from msgspec import Struct

from supervisor.http1 import Answer, AnswerReader, BadAnswer, request
from supervisor.retrying import Fault


class WireFault(Exception):
    """There is no answer. `stale` means that a kept connection ended as it was used: the next one will be new."""

    def __init__(self, fault: Fault, reason: str, *, stale: bool = False) -> None:
        super().__init__(reason)
        self.fault = fault
        self.stale = stale


class Wire(Protocol):
    """A way to an API."""

    async def exchange(
        self, method: str, target: str, headers: bytes, body: bytes | None = None, timeout_s: float | None = None
    ) -> Answer:
        """Ask once. `headers` are whole lines beside those that every request has."""

    async def close(self) -> None:
        """End all connections. Twice is fine."""


class Timeouts(Struct, frozen=True):
    """How long a connection may take to be made, and an answer to come."""

    connect_s: float = 5.0
    answer_s: float = 10.0


class Address(Struct, frozen=True):
    """Where the API is."""

    host: str
    port: int
    secure: bool
    root: str
    """The path all targets are below, without a slash at its end."""

    @property
    def authority(self) -> str:
        """What `Host` says."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _PORTS[self.secure] else f"{name}:{self.port}"


_PORTS = {False: 80, True: 443}
_CLOSED = "the client is closed"


def address(url: str) -> Address:
    """Read an API's URL."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is not the URL of an API: http://HOST[:PORT][/PATH]")
    secure = parts.scheme == "https"
    return Address(parts.hostname, parts.port or _PORTS[secure], secure, parts.path.rstrip("/"))


class _Connection(asyncio.Protocol):
    """One connection: one question at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, body_cap: int) -> None:
        self._loop = loop
        self._cap = body_cap
        self._transport: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.used = False
        self.alive = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.alive = True

    def ask(self, method: str, data: bytes, timeout_s: float) -> asyncio.Future[Answer]:
        """Send a request; the future has its answer or the fault."""
        assert self._transport is not None  # noqa: S101 - the pool gives only connections that were made
        self._reader = AnswerReader(bodiless=method == "HEAD", body_cap=self._cap)
        self._answer = self._loop.create_future()
        self._timer = self._loop.call_later(timeout_s, self._late)
        self._transport.write(data)
        return self._answer

    def data_received(self, data: bytes) -> None:
        if self._reader is None:  # an answer to nothing
            self.abort()
            return
        try:
            answer = self._reader.feed(data)
        except BadAnswer as error:
            self._fail(str(error))
            return
        if answer is not None:
            self._finish(answer)

    def eof_received(self) -> None:
        if self._reader is not None and (answer := self._reader.end()) is not None:
            self._finish(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        stale = self.used and self._reader is not None and not self._reader.begun
        self._fail(str(exc) if exc else "the connection was closed before an answer came", stale=stale)

    def abort(self) -> None:
        """End it now."""
        self.alive = False
        if self._transport is not None:
            self._transport.abort()

    def _late(self) -> None:
        self._fail("no answer in time")

    def _finish(self, answer: Answer) -> None:
        self.used = True
        if not answer.keep:
            self.abort()
        future = self._settle()
        if future is not None:
            future.set_result(answer)

    def _fail(self, reason: str, *, stale: bool = False) -> None:
        self.abort()
        future = self._settle()
        if future is not None:
            future.set_exception(WireFault(Fault.UNANSWERED, reason, stale=stale))

    def _settle(self) -> asyncio.Future[Answer] | None:
        if self._timer is not None:
            self._timer.cancel()
        future, self._answer, self._reader, self._timer = self._answer, None, None, None
        return None if future is None or future.done() else future


class LeanWire:
    """A pool of at most `size` connections. The last one used is used first, so that those not needed grow old."""

    def __init__(
        self,
        where: Address,
        *,
        size: int = 64,
        timeouts: Timeouts | None = None,
        tls: ssl.SSLContext | None = None,
        body_cap: int = 64 * 1024 * 1024,
    ) -> None:
        self._where = where
        self._size = size
        self._timeouts = timeouts or Timeouts()
        self._tls = tls
        self._cap = body_cap
        self._idle: list[_Connection] = []
        self._open = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._all: set[_Connection] = set()
        self._host = f"host: {where.authority}\r\n".encode("ascii")

    async def exchange(
        self, method: str, target: str, headers: bytes, body: bytes | None = None, timeout_s: float | None = None
    ) -> Answer:
        """Ask once, over a connection of the pool."""
        data = request(method, self._where.root + target, self._host + headers, body)
        connection = await self._take()
        try:
            return await connection.ask(method, data, timeout_s or self._timeouts.answer_s)
        except asyncio.CancelledError:
            connection.abort()  # its answer would be taken for the next question's
            raise
        finally:
            self._give_back(connection)

    async def close(self) -> None:
        """End all connections, those in use too."""
        self._closed = True
        for connection in [*self._all]:
            connection.abort()
        self._idle.clear()
        while self._waiting:
            self._wake()

    async def _take(self) -> _Connection:
        while not self._closed:
            while self._idle:
                connection = self._idle.pop()
                if connection.alive:
                    return connection
                self._forget(connection)
            if self._open < self._size:
                return await self._connect()
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()
                raise
        raise WireFault(Fault.UNSENT, _CLOSED)

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        self._open += 1
        made: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                _, made = await loop.create_connection(
                    lambda: _Connection(loop, self._cap),
                    self._where.host,
                    self._where.port,
                    ssl=self._context(),
                    server_hostname=self._where.host if self._where.secure else None,
                )
        except TimeoutError as error:
            raise WireFault(Fault.UNSENT, f"{self._where.authority}: no connection in time") from error
        except OSError as error:  # ssl's errors are OSErrors too
            raise WireFault(Fault.UNSENT, f"{self._where.authority}: {error}") from error
        finally:
            if made is None:
                self._open -= 1
                self._wake()
        if self._closed:  # meanwhile: nobody would end this one
            made.abort()
            raise WireFault(Fault.UNSENT, _CLOSED)
        self._all.add(made)
        return made

    def _context(self) -> ssl.SSLContext | None:
        if not self._where.secure:
            return None
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def _give_back(self, connection: _Connection) -> None:
        if connection.alive and not self._closed:
            self._idle.append(connection)
        else:
            self._forget(connection)
        self._wake()

    def _forget(self, connection: _Connection) -> None:
        connection.abort()
        self._all.discard(connection)
        self._open -= 1

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
