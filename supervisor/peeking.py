"""Looking at a child's socket without touching it."""

import fcntl
import select
import struct
import termios


def readable(fd: int) -> bool:
    """Whether there is something to read, or its end."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def unread(fd: int) -> int:
    """How many bytes the peer has not taken from its end."""
    found = fcntl.ioctl(fd, termios.TIOCOUTQ, struct.pack("i", 0))
    count: int = struct.unpack("i", found)[0]
    return count
