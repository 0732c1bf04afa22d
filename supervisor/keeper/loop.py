"""The keeper's loop: one thread, one poll, four kinds of news.

The link has a wish of the supervisor's; the wake-up pipe has a signal (somebody ended, or we should); a report pipe
says that a child has begun or why it could not; a deadline says that a sweep should be tried again.

When the supervisor goes away without having said `Retire`, nobody watches the children any more. Then they are stopped,
SIGTERM first, and the keeper ends with the last of them: better stopped than running unwatched.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable

from supervisor.keeper.link import (
    Kill,
    Link,
    Release,
    Retire,
    Scope,
    Spawn,
    Spawned,
    SpawnFailed,
    read_by_keeper,
)
from supervisor.keeper.reaping import Nursery
from supervisor.keeper.spawning import Leader, RefusedError, Workshop, fork
from supervisor.keeper.trees import kill_subtree, signal_group, signal_process

_SPAWNS_PER_TURN = 16


class Keeper:
    """Serves one link until there is nothing left to do."""

    def __init__(self, link: Link, workshop: Workshop, wakeup: int, orphan_grace_s: float) -> None:
        self._link = link
        self._workshop = workshop
        self._wakeup = wakeup
        self._orphan_grace_s = orphan_grace_s
        self._nursery = Nursery(link.send, self._settle, time.monotonic)
        self._poll = select.poll()
        self._news: dict[int, Callable[[], None]] = {}
        self._retired = False
        self._deaf = False
        self._kill_at: float | None = None
        self._sweep_in: float | None = None

    def serve(self) -> None:
        """Serve until retired, or left alone, and the last child has ended."""
        self._watch(self._wakeup, self._woken)
        self._watch(self._link.fileno(), self._hear)
        while not (self._retired and self._nursery.empty and not self._link.waiting):
            self._sweep_in = self._nursery.sweep()
            for fd, events in self._poll.poll(self._patience_ms()):
                if fd == self._link.fileno() and events & select.POLLOUT:
                    self._link.flush()
                news = self._news.get(fd)
                if news is not None and events & ~select.POLLOUT:
                    news()
            self._mind_orphans()
            if not self._deaf:
                self._poll.modify(self._link.fileno(), select.POLLIN | (select.POLLOUT if self._link.waiting else 0))

    def _watch(self, fd: int, news: Callable[[], None]) -> None:
        self._news[fd] = news
        self._poll.register(fd, select.POLLIN)

    def _forget(self, fd: int) -> None:
        if self._news.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def _patience_ms(self) -> int | None:
        until = [] if self._sweep_in is None else [self._sweep_in]
        if self._kill_at is not None:
            until.append(max(0.0, self._kill_at - time.monotonic()))
        return int(min(until) * 1000) + 1 if until else None

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if bytes([signal.SIGTERM]) in os.read(self._wakeup, 4096):
                self._leave()
        self._nursery.collect()

    def _hear(self) -> None:
        for _ in range(_SPAWNS_PER_TURN):
            packet = self._link.receive()
            if packet is None:
                return
            if not packet.data:
                self._forget(self._link.fileno())
                self._deaf = True
                self._link.close()
                self._leave()
                return
            self._obey(read_by_keeper.decode(packet.data))

    def _obey(self, wish: Spawn | Kill | Release | Retire) -> None:
        match wish:
            case Spawn():
                self._spawn(wish)
            case Kill(attempt, number, scope):
                leader = self._nursery.by_attempt.get(attempt)
                if leader is not None and leader.pid in self._nursery.leaders:
                    deliver(leader, number, scope)
            case Release(attempt):
                leader = self._nursery.by_attempt.get(attempt)
                if leader is not None and leader.begun:
                    leader.release()
            case Retire():
                self._retired = True

    def _spawn(self, spawn: Spawn) -> None:
        attempt = spawn.request.attempt
        if self._retired or attempt in self._nursery.by_attempt:
            reason = "the keeper is retired" if self._retired else f"attempt {attempt} runs already"
            self._tell_failure(spawn.seq, attempt, reason)
            return
        try:
            leader = fork(spawn, self._workshop)
        except RefusedError as refusal:
            self._tell_failure(spawn.seq, attempt, str(refusal))
            return
        self._nursery.add(leader)
        if leader.report == -1:
            self._begin(leader)
        else:
            self._watch(leader.report, lambda: self._settle(leader))

    def _settle(self, leader: Leader) -> None:
        """Hear the child's only word: nothing when it has begun, the reason when it could not."""
        if leader.report == -1:
            return
        word = os.read(leader.report, 4096).decode(errors="replace")
        self._forget(leader.report)
        leader.close_report()
        if word:
            leader.failure = word  # told when it is collected, so that its name is free when it is told
        else:
            self._begin(leader)

    def _begin(self, leader: Leader) -> None:
        leader.begun = True
        told = Spawned(leader.seq, leader.attempt, leader.pid, leader.tmpdir, leader.warnings)
        self._link.send(told, leader.handed_over())

    def _tell_failure(self, seq: int, attempt: str, reason: str) -> None:
        self._link.send(SpawnFailed(seq, attempt, reason))

    def _leave(self) -> None:
        """Stop the children: there is nobody to watch them, or we were told to end."""
        self._retired = True
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._orphan_grace_s
            for leader in self._nursery.leaders.values():
                deliver(leader, signal.SIGTERM, Scope.LEADER)

    def _mind_orphans(self) -> None:
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            for leader in self._nursery.leaders.values():
                deliver(leader, signal.SIGKILL, Scope.TREE)
            self._kill_at = None if self._nursery.empty else time.monotonic() + 1.0


def catch_signals() -> int:
    """Have SIGCHLD and SIGTERM write their numbers into a pipe: the end to read."""
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return read


def deliver(leader: Leader, number: int, scope: Scope) -> None:
    """Signal a child that has not been collected, so that its pid is its own."""
    if scope is Scope.LEADER:
        signal_process(leader.pid, number)
    elif scope is Scope.GROUP or number != signal.SIGKILL:
        signal_group(leader.pid, number)
    else:
        signal_group(leader.pid, number)
        if leader.group is not None:
            leader.group.kill()
        else:
            kill_subtree(leader.pid)
