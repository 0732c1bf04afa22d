"""The children of a keeper that died: they have fallen to us, and we do for them what it would have done.

The kernel gave them to the supervisor because it is their nearest subreaper, so it is the supervisor that can collect
them and learn their status; those of a keeper that was adopted, and never our child, fall to whoever is above it, and
their status is asked of the kernel (`postmortem`). Their pidfds, which we hold anyway, say when. A child that was being
started when the keeper died, and that nobody told us of, is a stray, and so is what an ended attempt left behind. The
supervisor may have other children of its own; strays are told from them by the mark that the keepers have in their
environment (MARK), which every process inherits that comes from one. A process whose environment we may not read is
none of ours.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable

from supervisor.keeper.cgroups import Group
from supervisor.keeper.children import Child
from supervisor.keeper.identity import read_small, start_time
from supervisor.keeper.link import Exited, Reaped, Scope, Usage
from supervisor.keeper.postmortem import status_of
from supervisor.keeper.reaping import told, usage_of
from supervisor.keeper.sweeping import LAST_RETRY_S, Sweep, litter
from supervisor.keeper.trees import children_of, kill_subtree, signal_group

ASK_S = 0.01
COLLECTED_WITHIN_S = 1.0
"""Whoever it fell to collects it at once, if he does his duty."""
MARK = "TASKHAND_KEEPER"


class Fosterage:
    """The fostered children. `keepers` gives the pids of ours that are not strays; `on_end` hears each end."""

    def __init__(
        self, cgroup: str | None, keepers: Callable[[], Iterable[int]], on_end: Callable[[Child, Reaped | None], None]
    ) -> None:
        self._cgroup = cgroup
        self._keepers = keepers
        self._on_end = on_end
        self._children: dict[int, Child] = {}
        self._ending: set[int] = set()
        self._leashes: dict[int, set[int]] = {}
        self._collecting = False
        self._loop = asyncio.get_running_loop()

    def take(self, children: Iterable[Child], leash: int) -> None:
        """Take a keeper's children over, and our end of their leash: it is closed when the last of them has ended.

        Some may have ended meanwhile; then their pidfds say so at once.
        """
        led = {child.pid: child for child in children}
        self._children |= led
        self._leashes[leash] = set(led)
        for child in led.values():
            self._loop.add_reader(child.pidfd, self._ended, child)
        self._let_go()

    def deliver(self, child: Child, number: int, scope: Scope) -> bool:
        """Signal a fostered child: whether it is one.

        It has not been collected, so its pid is its own; one that fell to somebody else (it was adopted from a keeper
        that was not our child) may have been, so its pidfd is asked first.
        """
        if child.pid not in self._children:
            return False
        try:
            signal.pidfd_send_signal(child.pidfd, number if scope is Scope.LEADER else 0)
        except ProcessLookupError:
            return True
        if scope is Scope.LEADER:
            return True
        signal_group(child.pid, number)
        if scope is Scope.TREE and number == signal.SIGKILL:
            group = self._group(child)
            if group is not None:
                group.kill()
            else:
                kill_subtree(child.pid)
        return True

    def end_strays(self) -> int:
        """Kill and collect children that nobody knows: how many there were."""
        strays = self._strays()
        for pid in strays:
            kill_subtree(pid)
        self._collect(strays)
        return len(strays)

    def _ended(self, child: Child) -> None:
        self._loop.remove_reader(child.pidfd)
        sweep = Sweep(child.pid, self._group(child), self._strays, self._loop.time())
        usage = None
        try:
            ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # it is another's: its keeper was, or had collected it and died before it said so
            self._ask(child, sweep, self._loop.time() + COLLECTED_WITHIN_S)
            return
        if ended is not None:
            sweep.begin()
            child.tell_exit(told(child.attempt, ended))
            usage = usage_of(os.wait4(child.pid, 0)[2])
        self._bury(child, sweep, usage)

    def _ask(self, child: Child, sweep: Sweep, until: float) -> None:
        """Learn how it ended from the kernel, which knows it for sure when whoever has it now has collected it."""
        status = None if child.exited.done() else status_of(child.pidfd, child.pid, child.start_time)
        if status is not None:
            code = os.waitstatus_to_exitcode(status)
            exit_code, number = (code, None) if code >= 0 else (None, -code)
            child.tell_exit(Exited(child.attempt, child.pid, exit_code, number, core=os.WCOREDUMP(status)))
        if child.exited.done() or self._loop.time() >= until:
            self._bury(child, sweep, None)
        else:
            self._loop.call_later(ASK_S, self._ask, child, sweep, until)

    def _bury(self, child: Child, sweep: Sweep, usage: Usage | None) -> None:
        del self._children[child.pid]
        self._let_go()
        self._sweep(child, sweep, usage)

    def _let_go(self) -> None:
        """Close the leashes on which nobody is any more."""
        for leash in [leash for leash, led in self._leashes.items() if led.isdisjoint(self._children)]:
            del self._leashes[leash]
            if leash != -1:  # of a keeper that never said that it was ready
                os.close(leash)

    def _sweep(self, child: Child, sweep: Sweep, usage: Usage | None) -> None:
        none_seen = sweep.over()
        self._collect(sweep.seen)
        # Who was killed and is not dead yet has lost his environment, and with it what he is known by.
        over = none_seen and self._ending.isdisjoint(sweep.seen)
        if not over and self._loop.time() < sweep.deadline:
            self._loop.call_later(sweep.later(), self._sweep, child, sweep, usage)
            return
        left = 0 if over else len(sweep.left())
        if usage is None:
            litter(child.tmpdir)
            self._on_end(child, None)
        else:
            dirty = litter(child.tmpdir)
            self._on_end(child, Reaped(child.attempt, usage, sweep.oom_kills, sweep.strays, left, dirty))

    def _group(self, child: Child) -> Group | None:
        if self._cgroup is None:
            return None
        return Group(f"{self._cgroup}/{os.path.basename(child.tmpdir)}")

    def _strays(self) -> list[int]:
        known = {*self._children, *self._keepers()}
        groups = {os.path.basename(child.tmpdir) for child in self._children.values()} if self._cgroup else set()
        strays = [
            pid
            for pid in children_of(os.getpid())
            if pid not in known and _is_marked(pid) and not (groups and _group_of(pid) in groups)
        ]
        self._ending |= set(strays)
        return strays

    def _collect(self, pids: Iterable[int]) -> None:
        """Collect strays as they end. Only those: another's child is another's to collect."""
        self._ending |= set(pids)
        for pid in list(self._ending):
            try:
                gone = os.waitpid(pid, os.WNOHANG)[0] == pid
            except ChildProcessError:
                gone = True
            if gone:
                self._ending.discard(pid)
        if self._ending and not self._collecting:
            self._collecting = True
            self._loop.call_later(LAST_RETRY_S, self._collect_later)

    def _collect_later(self) -> None:
        self._collecting = False
        self._collect(())


def mark() -> str:
    """Give what our keepers' environment says of whose they are."""
    return f"{os.getpid()}.{start_time(os.getpid())}"


def _group_of(pid: int) -> str:
    """Give the name of a process's group: that of its attempt, if it has one."""
    try:
        lines = read_small(f"/proc/{pid}/cgroup").decode().splitlines()
    except OSError:
        return ""
    return next((os.path.basename(line) for line in lines if line.startswith("0::")), "")


def _is_marked(pid: int) -> bool:
    try:
        variables = read_small(f"/proc/{pid}/environ").split(b"\0")  # a zombie has none
    except PermissionError:
        return True
    except OSError:
        return False
    return f"{MARK}={mark()}".encode() in variables
