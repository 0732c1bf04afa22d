"""Looking at a child's socket without touching it."""

import fcntl
import os
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


def resident(pid: int) -> int:
    """Say how many bytes of memory a process has; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - one read of the kernel's
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError, IndexError):
        return 0
