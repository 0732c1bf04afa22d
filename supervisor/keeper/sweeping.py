"""After a child has ended: kill what is left of its tree, and know when nothing is.

Done by whoever collects the child: the keeper, or the supervisor for the children of a dead keeper. With a cgroup, the
group says who is left, and can be removed when nobody is. Without one, the child itself was the subreaper of its tree
(see `plumbing`), so what it leaves falls to the collector at the moment it ends, and the collector knows it for what it
is: a child that it did not make.

A sweep never waits. It is tried again whenever a process ends, and shortly after; what the kernel will not let die
(a process stuck in a device) is counted and told, not waited for.
"""

import os
import signal
from collections.abc import Callable

from supervisor.keeper.cgroups import Group
from supervisor.keeper.trees import kill_subtree, signal_group

PATIENCE_S = 5.0
FIRST_RETRY_S = 0.001
LAST_RETRY_S = 0.05


class Sweep:
    """The end of one tree. `strays_here` gives the children that the collector did not make."""

    def __init__(self, leader: int, group: Group | None, strays_here: Callable[[], list[int]], now: float) -> None:
        self.strays = 0
        self.oom_kills = 0
        self.retry_s = FIRST_RETRY_S
        self.deadline = now + PATIENCE_S
        self._leader = leader
        self._group = group
        self._strays_here = strays_here
        self.seen: set[int] = set()

    def begin(self) -> None:
        """Kill the group. The leader must not have been collected yet: as long as it is not, its number is its own."""
        signal_group(self._leader, signal.SIGKILL)
        if self._group is not None:
            self.oom_kills = self._group.oom_kills()

    def over(self) -> bool:
        """Kill again what is left: whether nothing was."""
        if self._group is not None:
            return self._group_is_gone(self._group)
        strays = self._strays_here()
        self._count(strays)
        for pid in strays:
            kill_subtree(pid)
        return not strays

    def left(self) -> list[int]:
        """Give who is still there."""
        return self._group.pids() if self._group is not None else self._strays_here()

    def later(self) -> float:
        """Give the time until the next try, longer each time."""
        retry_s, self.retry_s = self.retry_s, min(self.retry_s * 2, LAST_RETRY_S)
        return retry_s

    def _group_is_gone(self, group: Group) -> bool:
        if group.remove():
            return True
        self._count(group.pids())
        group.kill()
        return group.remove()

    def _count(self, pids: list[int]) -> None:
        fresh = set(pids) - self.seen - {self._leader}
        self.seen |= fresh
        self.strays += len(fresh)


def litter(tmpdir: str) -> bool:
    """Remove the child's directory if it is empty: whether something is left for somebody with more time."""
    try:
        os.rmdir(tmpdir)
    except FileNotFoundError:
        return False
    except NotADirectoryError:  # the task put something else in its place
        os.unlink(tmpdir)
        return False
    except OSError:
        return True
    return False
