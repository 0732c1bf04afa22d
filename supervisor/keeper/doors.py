"""Doors: where a supervisor that has no link to a keeper finds it. Sockets with a name, in a folder of ours alone.

The supervisor makes the door and hands it to the keeper that it starts: the keeper then has no business with paths, and
there is no moment in which it is there and cannot be found. A path is given to the kernel by way of the folder's fd,
because an address takes 107 bytes and a state directory may have a longer name.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

SUFFIX = ".door"
_numbers = count(1)


class Door(NamedTuple):
    """A door, and where it is."""

    socket: socket.socket
    path: str


def make(folder: str) -> Door:
    """Make one. Raises OSError."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        while True:
            path = f"{folder}/{os.getpid()}-{next(_numbers)}{SUFFIX}"
            if not os.path.lexists(path):  # one of a supervisor that was executed anew has our pid
                break
        with _address(path) as address:
            end.bind(address)
        end.listen()
    except OSError:
        end.close()
        raise
    return Door(end, path)


def found(folder: str) -> list[str]:
    """Give the doors that are there. Whether somebody is behind one, knocking tells."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(f"{folder}/{name}" for name in os.listdir(folder) if name.endswith(SUFFIX))
    return []


def knock(path: str) -> socket.socket | None:
    """Give the link to the keeper behind this door; None, and no door any more, where there is no keeper."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.settimeout(0)
    try:
        with _address(path) as address:
            end.connect(address)
    except (ConnectionRefusedError, FileNotFoundError):
        end.close()
        remove(path)
        return None
    except OSError:
        end.close()
        return None
    return end


def remove(path: str) -> None:
    """Take it away. Twice is fine."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


@contextlib.contextmanager
def _address(path: str) -> Iterator[str]:
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(path)}"
    finally:
        os.close(folder)
