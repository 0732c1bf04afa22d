"""One connection of a client: what uvicorn makes of it, and bounds that uvicorn has not.

Whoever reaches the port may open connections, and each holds a descriptor and some memory. uvicorn waits for ever on
one that says nothing, or that sends its request a byte at a time: any byte puts an end to its idle time. So a head has
so many seconds and so many bytes, a body so many seconds, and when there are as many connections as this process can
have, the one that has been idle longest makes room. There is no bound for each peer: behind a proxy all are one. A peer
that does not read what it asked for is the kernel's to give up (`TCP_USER_TIMEOUT`, set where the server listens).

What is waited for is told by where uvicorn's protocol stands: before a request, within its body, or at its answer, for
which there is no bound here. So it holds for both of its parsers.
"""

import asyncio
import resource
from typing import Any

from msgspec import Struct
from uvicorn.protocols.http.auto import AutoHTTPProtocol

REQUEST_TIMEOUT = (408, "Request Timeout", "the request did not come within {most:g} seconds")
HEADERS_TOO_LARGE = (431, "Request Header Fields Too Large", "the head of the request is longer than {most:g} bytes")


class Bounds(Struct, frozen=True):
    """How much, and how long."""

    head_s: float = 10.0
    """From the opening of a connection, or the first byte of a further request, to the end of its head."""
    body_s: float = 60.0
    """From the end of its head to the end of its body; the longest is 16 MiB."""
    head: int = 65_536
    connections: int = 4096


_OURS = 200
"""Descriptors that are kept for the database, the logs and what the libraries open."""
_MOST = 10_000
"""More connections than any machine that we know of would want; each is some 10 kB."""


def descriptors() -> int:
    """Have as many descriptors as we may need and the system lets us, and say how many connections that is."""
    have, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST + _OURS if most == resource.RLIM_INFINITY else min(most, _MOST + _OURS)
    if have != resource.RLIM_INFINITY and have < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return min(max(wanted - _OURS, 16), _MOST)


class Joining:
    """A transport that writes at once what is written in one turn of the loop: the head of an answer, and its body.

    Apart they are two system calls here, and two packets and two wake-ups there.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Write with what else is written in this turn."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def _flush(self) -> None:
        if self._parts:
            data, self._parts = b"".join(self._parts), []
            self._transport.write(data)

    def close(self) -> None:
        """Close when all is written."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a transport has
        return getattr(self._transport, name)


class Bounded:
    """What is put before a protocol of uvicorn's: its own methods are the next in line."""

    bounds = Bounds()
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    connections: "set[Bounded]"
    cycle: Any

    @property
    def _next(self) -> Any:  # noqa: ANN401 - one of two classes
        return super()

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a head."""
        self._next.connection_made(Joining(transport, self.loop))
        self._waits_for: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._taken = 0
        self._begun = False
        self.idle_since = self.loop.time()
        if len(self.connections) > self.bounds.connections:
            self._make_room()
        self._wait(self.bounds.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._wait(None)
        self._next.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take it, and see what is still to come."""
        self._next.data_received(data)
        if self.transport.is_closing():
            self._wait(None)
        elif self.busy:
            self._taken, self._begun = 0, False
            self._wait(self.bounds.body_s if self.cycle.more_body else None)
        elif self.cycle is not None and self.cycle.more_body and not self._begun:
            # It was answered before its body was there, and goes on sending: hung up on, it would not read the answer.
            self._wait(self.bounds.body_s)
        else:
            self._taken += len(data)
            self._wait(self.bounds.head_s)
            if self._taken > self.bounds.head:
                self._refuse(*HEADERS_TOO_LARGE, self.bounds.head)

    def on_message_begin(self) -> None:
        """A further request begins: only httptools says so, and only that has no bound for a head of its own."""
        self._begun = True
        self._next.on_message_begin()

    def on_response_complete(self) -> None:
        """Be idle from now on."""
        self._wait(None)
        self.idle_since = self.loop.time()
        self._next.on_response_complete()

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return not (self.cycle is None or self.cycle.response_complete)

    def _wait(self, seconds: float | None) -> None:
        """Wait so long from now; what is waited for already is waited for from when that began."""
        if seconds == self._waits_for:
            return
        self._waits_for = seconds
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            self._timer = self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        if self.busy or self._taken:
            self._refuse(*REQUEST_TIMEOUT, self._waits_for or 0)
        else:  # it has said nothing: an answer to that would be taken for one to what it asks next
            self.transport.close()

    def _refuse(self, status: int, phrase: str, why: str, most: float) -> None:
        """Answer by hand, unless an answer is under way already, and hang up."""
        self._wait(None)
        if not (self.busy and self.cycle.response_started):
            body = why.format(most=most).encode()
            head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            self.transport.write(b"%scontent-length: %d\r\n\r\n%s" % (head.encode(), len(body), body))
        self.transport.close()

    def _make_room(self) -> None:
        idle = [each for each in self.connections - {self} if not each.busy]
        (min(idle, key=lambda each: each.idle_since) if idle else self).transport.close()


def within(bounds: Bounds, protocol: type[Any] = AutoHTTPProtocol) -> Any:  # noqa: ANN401 - a class with no static base
    """Give a protocol of uvicorn's, that over the fastest parser there is, within these bounds."""
    return type("Connection", (Bounded, protocol), {"bounds": bounds})
