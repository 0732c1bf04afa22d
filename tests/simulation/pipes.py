"""Sockets between a supervisor and a child, in memory: bytes in order, an end that is noticed, copies of an end.

An end is closed for its peer when all who hold it have let go, so an end that a keeper holds too outlives a supervisor.
`Sockets` has what `supervisor.channels` takes from the module `socket`.
"""

import os
from collections.abc import Callable
from itertools import count

from tests.simulation.loop import SimLoop
from tests.simulation.world import Party, World

WIRE_S = 0.0003


class End:
    """One end."""

    def __init__(self) -> None:
        self.peer: End
        self.inbox = bytearray()
        self.holders: set[Party] = set()
        self.shut = False
        """Nothing more is sent from here."""
        self.news: Callable[[], None] = lambda: None
        """Called when something came, or the end of it."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.peer.shut or not self.peer.holders

    def send(self, data: bytes) -> None:
        """Give bytes to the peer."""
        if self.shut or not self.peer.holders:
            raise BrokenPipeError
        self.peer.inbox += data
        self.peer.news()

    def take(self) -> bytes:
        """Take all that came."""
        data = bytes(self.inbox)
        self.inbox.clear()
        return data

    def shutdown(self) -> None:
        """Send nothing more."""
        self.shut = True
        self.peer.news()

    def let_go(self, party: Party) -> None:
        """Hold it no more."""
        self.holders.discard(party)
        if not self.holders:
            self.peer.news()


def pair() -> tuple[End, End]:
    """Give both ends of a new channel."""
    one, other = End(), End()
    one.peer, other.peer = other, one
    return one, other


class Sockets:
    """All fds of a history."""

    AF_UNIX, SOCK_STREAM, SHUT_WR, SHUT_RDWR = range(4)

    def __init__(self, world: World) -> None:
        self._world = world
        self._numbers = count(1000)
        self._ends: dict[int, tuple[End, Party]] = {}

    def hand(self, end: End, party: Party) -> int:
        """Give a party a fd for an end."""
        number = next(self._numbers)
        end.holders.add(party)
        self._ends[number] = end, party
        return number

    def end_of(self, fd: int) -> End:
        """Give the end that a fd is."""
        return self._ends[fd][0]

    def socket(self, family: int, kind: int, fileno: int) -> "Socket":
        """Make a socket of a fd."""
        del family, kind
        end, party = self._ends[fileno]
        return Socket(self, end, party, fileno)

    def sendfile(self, out: int, source: int, offset: None, count: int) -> int:
        """Send from a file's position, and move it by as much, as the kernel does."""
        del offset
        end = self._ends[out][0]
        if end.shut or not end.peer.holders:
            raise BrokenPipeError
        data = os.read(source, count)
        end.send(data)
        return len(data)

    def close(self, fd: int) -> None:
        """Close a fd. What is no socket is nobody's."""
        if fd in self._ends:
            end, party = self._ends[fd]
            end.let_go(party)

    def readable(self, fd: int) -> bool:
        """As `supervisor.peeking` has it."""
        end = self._ends[fd][0]
        return bool(end.inbox) or end.over

    def unread(self, fd: int) -> int:
        """As `supervisor.peeking` has it."""
        return len(self._ends[fd][0].peer.inbox)

    def listen(self, fd: int, loop: SimLoop) -> None:
        """Call a loop's reader, a little later, each time there is something to read."""
        end, due = self._ends[fd][0], [False]

        def news() -> None:
            if not due[0] and fd in loop.readers and (end.inbox or end.over):
                due[0] = True
                loop.party.later(self._world.between(0, WIRE_S), read)

        def read() -> None:
            due[0] = False
            reader = loop.readers.get(fd)
            if reader is not None:
                loop.enter(reader)
                news()

        end.news = news
        news()


class Socket:
    """A socket, as far as a channel uses one."""

    def __init__(self, sockets: Sockets, end: End, party: Party, number: int) -> None:
        del sockets
        self._end = end
        self._party = party
        self._number = number

    def settimeout(self, seconds: float) -> None:
        """It never waits."""

    def fileno(self) -> int:
        """Its number; -1 when it is closed."""
        return self._number

    @property
    def waiting(self) -> int:
        """How many bytes wait to be read."""
        return len(self._end.inbox)

    def recv(self, size: int, flags: int) -> bytes:
        """Look at what is there: it is read into a slate, and by nobody else."""
        del flags
        if not self._end.inbox and not self._end.over:
            raise BlockingIOError
        return bytes(self._end.inbox[:size])

    def recv_into(self, buffer: memoryview) -> int:
        """Read what is there."""
        count = min(len(buffer), len(self._end.inbox))
        if count == 0 and not self._end.over:
            raise BlockingIOError
        buffer[:count] = self._end.inbox[:count]
        del self._end.inbox[:count]
        return count

    def shutdown(self, how: int) -> None:
        """Send nothing more, on every copy of it."""
        del how
        self._end.shutdown()

    def close(self) -> None:
        """Let go."""
        if self._number != -1:
            self._number = -1
            self._end.let_go(self._party)
