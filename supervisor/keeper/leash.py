"""The leash: what ends children whose keeper and supervisor are both gone, however those two went.

A pipe into which nobody writes. The keeper and whichever supervisor it has hold its write end; each child holds a read
end of its own, of which the kernel knows whom to kill when there is something to be heard. The last write end closing
is such a thing. So nobody has to live, look or wake up for it; and as long as one of the two is there, nothing happens.
"""

import fcntl
import os
import signal
from typing import NamedTuple


class Leash(NamedTuple):
    """A keeper's, for all its children."""

    read: int
    write: int

    def end(self) -> int:
        """Make a read end for one child. Opened anew, and no duplicate: whom to kill is a file description's to say."""
        return os.open(f"/proc/self/fd/{self.read}", os.O_RDONLY | os.O_CLOEXEC)


def make() -> Leash:
    """Make one, in the keeper."""
    return Leash(*os.pipe2(os.O_CLOEXEC))


def fasten(end: int, pid: int) -> None:
    """Have the group that this child leads, or will, killed when the leash is let go of.

    By the keeper, with the keeper's permissions: they count even where the child has another account.
    """
    fcntl.fcntl(end, fcntl.F_SETOWN, -pid)
    fcntl.fcntl(end, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(end, fcntl.F_SETFL, os.O_ASYNC)
