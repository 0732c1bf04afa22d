"""The system calls that Python does not offer, or offers at a price. Linux only, as all of the keeper."""

import ctypes
import importlib
import os
from typing import Any

raw_signal: Any = importlib.import_module("_signal")
"""`signal` without its enums, which cost a fork 130 copied pages, a third of a millisecond (measured)."""

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


# Declared once: a call then makes no objects of its own, and in a fork each object is a page copied.
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def set_dumpable(*, allowed: bool) -> None:
    """Say whether others of the same user may read this process's memory, environment and fds, trace it, dump its core.

    Kept by fork, reset by exec.
    """
    _prctl(_PR_SET_DUMPABLE, int(allowed))


def become_subreaper() -> None:
    """Have descendants whose parent ends fall to this process, and not to process 1. Kept by exec, reset by fork."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
