"""Who ended and how, in the keeper. Status first, then the collection: `link` says why in this order."""

import os
import resource
import signal
from collections.abc import Callable

from supervisor.keeper.link import Exited, Reaped, SpawnFailed, ToSupervisor, Usage
from supervisor.keeper.obituaries import Obituaries
from supervisor.keeper.spawning import Leader
from supervisor.keeper.sweeping import Sweep, litter
from supervisor.keeper.trees import children_of


class Nursery:
    """All children of the keeper, and those that ended and are being swept up."""

    def __init__(
        self,
        tell: Callable[[ToSupervisor], None],
        settle: Callable[[Leader], None],
        now: Callable[[], float],
        *,
        keeps: bool,
    ) -> None:
        self.kept: dict[str, Leader] = {}
        """Those that ended, for as long as another supervisor may have to be told."""
        self.leaders: dict[int, Leader] = {}
        self.by_attempt: dict[str, Leader] = {}
        self._sweeps: dict[str, tuple[Leader, Sweep, Usage]] = {}
        self._tell = tell
        self._settle = settle
        self._now = now
        self._obituaries = Obituaries()
        self._keeps = keeps

    @property
    def quiet(self) -> bool:
        """Whether nobody is left to wait for."""
        return not self.leaders and not self._sweeps

    @property
    def empty(self) -> bool:
        """Whether there is nobody left to wait for, and nothing to keep for another supervisor."""
        return self.quiet and not self.kept

    def known(self) -> list[Leader]:
        """Give those who have begun, and those who ended and are kept."""
        return [leader for leader in self.by_attempt.values() if leader.begun]

    def forget(self, attempt: str) -> None:
        """Do not keep how this one ended, or will end."""
        leader = self.by_attempt.get(attempt)
        if leader is not None:
            leader.unwanted = True
            if self.kept.pop(attempt, None) is not None:
                self._drop(leader)

    def add(self, leader: Leader) -> None:
        """Take a child that was just forked."""
        self._obituaries.born(leader.pid)
        self.leaders[leader.pid] = leader
        self.by_attempt[leader.attempt] = leader

    def collect(self) -> None:
        """Collect everyone who ended; called whenever somebody may have."""
        while (ended := _next_ended()) is not None:
            leader = self.leaders.get(ended.si_pid)
            if leader is None:
                os.waitpid(ended.si_pid, 0)  # a stray: it belonged to an attempt, and its status says nothing
            else:
                self._end(leader, ended)
        self.sweep()

    def sweep(self) -> float | None:
        """Try again where something was left: the time until the next try, or None when all is swept."""
        for leader, sweep, usage in list(self._sweeps.values()):
            if sweep.over():
                self._done(leader, sweep, usage, left=0)
            elif self._now() >= sweep.deadline:
                self._done(leader, sweep, usage, left=len(sweep.left()))
        return min((sweep.later() for _, sweep, _ in self._sweeps.values()), default=None)

    def _end(self, leader: Leader, ended: os.waitid_result) -> None:
        sweep = Sweep(leader.pid, leader.group, self._strays, self._now())
        sweep.begin()
        if ended.si_code != os.CLD_EXITED and ended.si_status == signal.SIGKILL and not sweep.oom_kills:
            sweep.oom_kills = int(self._obituaries.killed(leader.pid))
        self._settle(leader)  # whether it had begun: it may have begun and ended in one turn of our loop
        if leader.begun:
            leader.exited = told(leader.attempt, ended)
            self._tell(leader.exited)
        _, _, counted = os.wait4(leader.pid, 0)
        del self.leaders[leader.pid]
        self._sweeps[leader.attempt] = (leader, sweep, usage_of(counted))

    def _done(self, leader: Leader, sweep: Sweep, usage: Usage, *, left: int) -> None:
        del self._sweeps[leader.attempt]
        dirty = litter(leader.tmpdir)
        if leader.begun and self._keeps and not leader.unwanted:
            self.kept[leader.attempt] = leader
        else:
            self._drop(leader)
        if leader.begun:
            leader.reaped = Reaped(leader.attempt, usage, sweep.oom_kills, sweep.strays, left, dirty)
            self._tell(leader.reaped)
        else:
            self._tell(SpawnFailed(leader.seq, leader.attempt, leader.failure))

    def _drop(self, leader: Leader) -> None:
        del self.by_attempt[leader.attempt]
        leader.release()

    def _strays(self) -> list[int]:
        return [pid for pid in children_of(os.getpid()) if pid not in self.leaders]


def told(attempt: str, ended: os.waitid_result) -> Exited:
    """Put the kernel's word for how a child ended into ours."""
    if ended.si_code == os.CLD_EXITED:
        return Exited(attempt, ended.si_pid, ended.si_status, None, core=False)
    return Exited(attempt, ended.si_pid, None, ended.si_status, core=ended.si_code == os.CLD_DUMPED)


def usage_of(counted: resource.struct_rusage) -> Usage:
    """Put the kernel's count into ours."""
    return Usage(
        counted.ru_utime,
        counted.ru_stime,
        counted.ru_maxrss * 1024,
        counted.ru_minflt,
        counted.ru_majflt,
        counted.ru_inblock,
        counted.ru_oublock,
        counted.ru_nvcsw + counted.ru_nivcsw,
    )


def _next_ended() -> os.waitid_result | None:
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
