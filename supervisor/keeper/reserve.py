"""File descriptors kept free for answers that are on their way.

When a packet with fds reaches a process that has no room for them, the kernel drops the fds and the child they belong
to is beyond reach. So before we ask for a child we take as many fds as it will need, which fails there and then if they
are not to be had, and let go of them in the moment before its packet is read.
"""

import os

FDS_PER_CHILD = 5
"""That come with it. Its slate is ours, and was made before."""


class FdReserve:
    """Holds room for the fds of as many children as are being started."""

    def __init__(self) -> None:
        self._held: list[list[int]] = []
        self._owed = 0

    def take(self) -> None:
        """Hold room for one more child. Raises OSError (EMFILE, ENFILE) when there is none, and holds nothing then."""
        room: list[int] = []
        try:
            room.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            while len(room) < FDS_PER_CHILD:
                room.append(os.dup(room[0]))
        except OSError:
            _close(room)
            raise
        self._held.append(room)

    def open(self) -> None:
        """Let go of one child's room, for the packet that is about to be read. `shut` takes it back."""
        if self._held:
            _close(self._held.pop())
            self._owed += 1

    def shut(self, *, used: bool) -> None:
        """Say whether the packet was the awaited one; if not, hold its room again."""
        if self._owed:
            self._owed -= 1
            if not used:
                self.take()

    def give_back(self) -> None:
        """Hold room for one child less: it will not come."""
        if self._held:
            _close(self._held.pop())


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
