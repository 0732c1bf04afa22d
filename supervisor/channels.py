"""The channel of frames to one child: bytes from its socket to its session's events, and frames back.

The shell around `protocol.session`. Nothing here blocks, and nothing here grows without a bound: what the child does
not read waits in a buffer, and while that buffer is over its high mark nothing more is read from the child. So a child
that asks and never reads stops being heard, and costs one buffer. The same brake is offered to the handlers
(`pause`/`resume`), each under a name of its own, so that neither lifts the other's.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from supervisor.slate import Slate

EventT = TypeVar("EventT")
EventT_co = TypeVar("EventT_co", covariant=True)

READS_AT_ONCE = 8
HIGH_MARK = 1024 * 1024
LOW_MARK = 64 * 1024
_OWN_BRAKE = "unread replies"


class Hearing(Protocol[EventT_co]):
    """What the channel needs of a session."""

    def receive(self, data: bytes) -> Sequence[EventT_co]:
        """Take bytes."""

    def receive_end(self) -> Sequence[EventT_co]:
        """Take the end."""


class FrameChannel(Generic[EventT]):
    """One channel. It owns the fd; `on_event` is called for each event, in order, from the loop."""

    def __init__(
        self, fd: int, session: Hearing[EventT], on_event: Callable[[EventT], None], slate: Slate | None = None
    ) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=fd)
        self._socket.settimeout(0)
        self._session = session
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        # uvloop stops looking at a socket with its first error, which comes with the last data and before the end.
        self._to_the_end = not isinstance(self._loop, asyncio.SelectorEventLoop)
        self._brakes: set[str] = set()
        self._reading = False
        self._ended = False
        self._deaf = False
        self._slate = Slate() if slate is None else slate
        self._own_slate = slate is None
        self._waits = False
        self._passing: deque[tuple[int, list[int]]] = deque()
        self._drained = asyncio.Event()
        self._drained.set()
        self.bytes_in = 0
        self.bytes_out = 0

    def open(self) -> None:
        """Begin to listen. Twice is fine, and so is never."""
        self._steer()

    @property
    def unsent(self) -> int:
        """How many bytes the child has not taken yet."""
        return 0 if self._deaf else self._slate.unsent

    @property
    def ended(self) -> bool:
        """Whether the child has closed its end, or we ours."""
        return self._ended

    def pause(self, brake: str) -> None:
        """Stop reading until this brake is lifted."""
        self._brakes.add(brake)
        self._steer()

    def resume(self, brake: str) -> None:
        """Lift one brake; reading goes on when none is left."""
        self._brakes.discard(brake)
        self._steer()

    def send(self, data: bytes, passing: Sequence[int] = ()) -> None:
        """Send now what fits and keep the rest. To a child that closed its end it does nothing: reading tells that.

        `passing` are fds that go with the first byte of it; they are the channel's to close, sent or not.
        """
        if passing:
            self._passing.append((self.unsent, list(passing)))
        if self._deaf or not data:
            self._forget_passing()
            return
        self._slate.say(data)
        self.push()

    def push(self) -> None:
        """Send what waits: what was just said, or what the supervisor before us had no time to send."""
        if not self._waits:
            self._send()
            if not self.unsent:
                return
            self._waits = True
            self._loop.add_writer(self._socket.fileno(), self._writable)
            self._drained.clear()
        if self.unsent > HIGH_MARK:
            self.pause(_OWN_BRAKE)

    def rest(self) -> None:
        """Every question is answered: what was heard need not be kept for whoever comes after us."""
        self._slate.rest()

    async def drained(self) -> None:
        """Wait until the child has taken everything, or never will."""
        await self._drained.wait()

    def finish(self) -> None:
        """Tell the child that nothing more will come; it may still be heard."""
        self._stop_sending()
        if self._socket.fileno() != -1:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End the channel for both, the keeper's duplicate included. No event comes after this. Twice is fine."""
        self._ended = True
        self._steer()
        self._stop_sending()
        if self._socket.fileno() != -1:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            if self._own_slate:
                self._slate.close()

    def _steer(self) -> None:
        wanted = not self._brakes and not self._ended
        if wanted == self._reading or self._socket.fileno() == -1:
            return
        self._reading = wanted
        if wanted:
            self._loop.add_reader(self._socket.fileno(), self._readable)
        else:
            self._loop.remove_reader(self._socket.fileno())

    def _readable(self) -> None:
        for _ in range(READS_AT_ONCE if self._to_the_end else 1):
            if not self._reading or not self._read():
                return
        if self._to_the_end:
            self._loop.call_soon(self._readable)

    def _read(self) -> bool:
        """Read once: whether there may be more."""
        try:
            data = self._slate.hear(self._socket)
        except BlockingIOError:
            return False
        except ConnectionError:  # it died with our replies unread
            data = b""
        self.bytes_in += len(data)
        if data:
            events = self._session.receive(data)
        else:
            self._ended = True
            self._steer()
            events = self._session.receive_end()
        for event in events:
            if self._socket.fileno() == -1:
                return False  # closed by what the one before meant
            self._on_event(event)
        return bool(data)

    def _writable(self) -> None:
        self._send()
        if not self.unsent and self._waits:
            self._waits = False
            self._loop.remove_writer(self._socket.fileno())
            self._drained.set()
        if self.unsent <= LOW_MARK:
            self.resume(_OWN_BRAKE)

    def _send(self) -> None:
        try:
            self.bytes_out += self._slate.send(self._socket) if not self._passing else self._pass()
        except BlockingIOError:
            return
        except OSError:  # it closed its end, or died: what it said before is still read
            self._stop_sending()

    def _pass(self) -> int:
        """Send no further than to the next fds: those of the first byte go with it."""
        at, fds = self._passing[0]
        if at == 0:
            until = self._passing[1][0] if len(self._passing) > 1 else self.unsent
            count = self._slate.pass_on(self._socket, until, fds)
            self._passing.popleft()
            _close(fds)
        else:
            count = self._slate.send(self._socket, at)
        self._passing = deque((place - count, each) for place, each in self._passing)
        return count

    def _forget_passing(self) -> None:
        while self._passing:
            _close(self._passing.popleft()[1])

    def _stop_sending(self) -> None:
        self._deaf = True
        self._forget_passing()
        if self._waits and self._socket.fileno() != -1:
            self._loop.remove_writer(self._socket.fileno())
        self._waits = False
        self._drained.set()
        self.resume(_OWN_BRAKE)


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
