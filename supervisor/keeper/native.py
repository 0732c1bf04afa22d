"""The system calls that Python does not offer. Linux only, as all of the keeper."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def forbid_dump() -> None:
    """Let nobody of the same user read this process's memory, environment or fds, nor trace it, nor dump its core."""
    _prctl(_PR_SET_DUMPABLE, 0)


def become_subreaper() -> None:
    """Have descendants whose parent ends fall to this process, and not to process 1. Kept across exec, not by fork."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
