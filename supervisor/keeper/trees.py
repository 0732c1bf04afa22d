"""Who descends from whom, from /proc, and the end of a whole tree."""

import contextlib
import os
import signal
from collections.abc import Iterator

from supervisor.keeper.identity import GoneError, read_small, stat_fields

_LISTS_CHILDREN = os.path.exists("/proc/thread-self/children")  # CONFIG_PROC_CHILDREN


def children_of(pid: int) -> list[int]:
    """Give the direct children, those that ended and were not collected too."""
    try:
        return [child for task in os.listdir(f"/proc/{pid}/task") for child in _listed(pid, task)]
    except FileNotFoundError:
        return []
    except NotImplementedError:
        return [child for child, parent in _parents() if parent == pid]


def descendants_of(pid: int) -> list[int]:
    """Give children, their children and so on, as they are now; who forks meanwhile may be missed."""
    found: list[int] = []
    ahead = children_of(pid)
    while ahead:
        child = ahead.pop()
        if child not in found:
            found.append(child)
            ahead += children_of(child)
    return found


def signal_group(leader: int, number: int) -> bool:
    """Signal a group whose leader has not been collected yet, so that its number is certainly its own."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def signal_process(pid: int, number: int) -> bool:
    """Signal one process that has not been collected yet."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def kill_subtree(pid: int) -> int:
    """Kill a process and who descends from it: how many. A child's parent is killed first, so that it makes no more."""
    family = [pid, *descendants_of(pid)]
    return sum(signal_process(member, signal.SIGKILL) for member in family)


def _listed(pid: int, task: str) -> list[int]:
    try:
        return [int(word) for word in read_small(f"/proc/{pid}/task/{task}/children").split()]
    except (FileNotFoundError, ProcessLookupError):
        if _LISTS_CHILDREN:
            return []  # it has ended meanwhile
        raise NotImplementedError from None


def _parents() -> Iterator[tuple[int, int]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(GoneError):
                yield int(name), int(stat_fields(int(name))[1])
