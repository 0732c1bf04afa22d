"""Whom the kernel has killed for want of memory, as its own log says: `Killed process PID (name)`.

A control group with the memory controller says it too, and better. Where there is none, or where the machine as a
whole ran out, this is the only proof: that somebody died of SIGKILL proves nothing. The log speaks of the machine's
pids, so it is believed only where ours are these, and only what it says between a child's fork and its end counts.

Reading it is root's on most machines. Where it may not be read nobody is said to have been out of memory.
"""

import os
import re

LOG = "/dev/kmsg"
MACHINE = "pid:[4026531836]"
"""The name of the first pid namespace, the same on every kernel since Linux 3.8."""
_KILLED = re.compile(rb";(?:Out of memory|Memory cgroup out of memory|Out of memory \([^)]*\)): Killed process (\d+) ")
_LONGEST = 8192


class Obituaries:
    """The kernel's log from now on. The descriptor is the keeper's own; children lose it with all others."""

    def __init__(self, log: str = LOG) -> None:
        self._fd = -1
        try:
            if os.readlink("/proc/self/ns/pid") == MACHINE:
                self._fd = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.lseek(self._fd, 0, os.SEEK_END)
        except OSError:
            self.close()
        self._dead: set[int] = set()

    def born(self, pid: int) -> None:
        """Forget what was said of whoever had this pid before."""
        self._read()
        self._dead.discard(pid)

    def killed(self, pid: int) -> bool:
        """Whether the kernel has said that it killed this one, since it was born."""
        self._read()
        found = pid in self._dead
        self._dead.discard(pid)
        return found

    def close(self) -> None:
        """Close it. Twice is fine."""
        if self._fd != -1:
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> None:
        while self._fd != -1:
            try:
                record = os.read(self._fd, _LONGEST)
            except BlockingIOError:
                return
            except BrokenPipeError:  # some records were overwritten before we came
                continue
            except OSError:
                self.close()
                return
            if not record:
                return
            self._dead.update(int(found[1]) for found in _KILLED.finditer(record))
