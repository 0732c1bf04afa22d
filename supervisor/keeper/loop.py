"""The keeper's loop: one thread, one poll, five kinds of news.

The link has a wish of the supervisor's; the wake-up pipe has a signal (somebody ended, or we should); a report pipe
says that a child has begun or why it could not; the door has another supervisor; a deadline says that a sweep should be
tried again, or that a child's tenure is over.

When the supervisor goes away, the children go on, and the keeper waits for the next one at its door: what it does
meanwhile is `solitude`. Whoever comes is told of every child, with its fds, and of how those ended that did.
"""

import contextlib
import errno
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable

from supervisor.keeper.link import (
    Forget,
    Held,
    HeldAll,
    Kill,
    Link,
    Ready,
    Release,
    Retire,
    Scope,
    Spawn,
    Spawned,
    SpawnFailed,
    ToSupervisor,
    read_by_keeper,
)
from supervisor.keeper.reaping import Nursery
from supervisor.keeper.spawning import Leader, RefusedError, Workshop, fork
from supervisor.keeper.trees import kill_subtree, signal_group, signal_process
from supervisor.solitude import Event, Solitude

_SPAWNS_PER_TURN = 16


class Keeper:
    """Serves one link, and then the next, until there is nothing left to do."""

    def __init__(
        self,
        link: Link,
        workshop: Workshop,
        wakeup: int,
        orphan_grace_s: float,
        door: socket.socket | None = None,
    ) -> None:
        self._link = link
        self._workshop = workshop
        self._wakeup = wakeup
        self._ready: Ready | None = None
        self._door = door
        self._solitude = Solitude(orphan_grace_s)
        self._nursery = Nursery(self._tell, self._settle, time.monotonic, keeps=door is not None)
        self._poll = select.poll()
        self._news: dict[int, Callable[[], None]] = {}
        self._retired = False
        self._supervisor = 1
        """Which one it is, counted: what the first one asked for is not the second one's answer."""
        self._owes_all = False
        self._again: float | None = None
        self._sweep_in: float | None = None

    def serve(self, ready: Ready) -> None:
        """Say that we are ready, and serve until there is nobody to serve, and nothing to keep for anybody."""
        self._ready = ready
        self._greet()
        self._watch(self._wakeup, self._woken)
        self._watch(self._link.fileno(), self._hear)
        while not self._done():
            self._sweep_in = self._nursery.sweep()
            for fd, events in self._poll.poll(self._patience_ms()):
                if fd == self._link.fileno() and events & select.POLLOUT:
                    self._link.flush()
                news = self._news.get(fd)
                if news is not None and events & ~select.POLLOUT:
                    news()
            self._mind_children()
            if self._link.fileno() != -1:
                self._poll.modify(self._link.fileno(), select.POLLIN | (select.POLLOUT if self._link.waiting else 0))

    def _done(self) -> bool:
        if self._link.fileno() != -1:
            return self._retired and self._nursery.empty and not self._link.waiting
        late = time.monotonic() >= self._solitude.lingers_until()
        return self._nursery.empty or (self._nursery.quiet and late)

    def _watch(self, fd: int, news: Callable[[], None]) -> None:
        self._news[fd] = news
        self._poll.register(fd, select.POLLIN)

    def _forget(self, fd: int) -> None:
        if self._news.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def _patience_ms(self) -> int | None:
        until = [] if self._sweep_in is None else [self._sweep_in]
        if self._again is not None:
            until.append(max(0.0, self._again - time.monotonic()))
        return int(min(until) * 1000) + 1 if until else None

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if bytes([signal.SIGTERM]) in os.read(self._wakeup, 4096):
                self._retired = True
                self._solitude.handle(Event.TOLD, time.monotonic())
        self._nursery.collect()

    def _hear(self) -> None:
        for _ in range(_SPAWNS_PER_TURN):
            packet = self._link.receive()
            if packet is None:
                return
            if not packet.data:
                self._lose()
                return
            self._obey(read_by_keeper.decode(packet.data), packet.fds)

    def _lose(self) -> None:
        """The supervisor is gone."""
        self._forget(self._link.fileno())
        self._link.close()
        self._retired = True
        _let_go_of_streams()
        if self._door is None:
            self._solitude.handle(Event.DESERTED, time.monotonic())
        else:
            self._solitude.handle(Event.LOST, time.monotonic())
            self._watch(self._door.fileno(), self._admit)

    def _admit(self) -> None:
        """Somebody is at the door: ours to serve, if he is of our user."""
        assert self._door is not None  # noqa: S101 - it is what called us
        try:
            end, _ = self._door.accept()
        except OSError:  # he has gone again
            return
        if _user_of(end) not in {0, os.geteuid()}:
            end.close()
            return
        self._forget(self._door.fileno())
        self._supervisor += 1
        self._link = Link(end)
        self._watch(end.fileno(), self._hear)
        self._solitude.handle(Event.CAME, time.monotonic())
        self._greet()
        for leader in self._nursery.known():
            self._tell_of(leader)
        self._owes_all = True
        self._tell_all()

    def _tell_all(self) -> None:
        """Say that those were all, when it is known of each whether it has begun."""
        if self._owes_all and all(leader.report == -1 for leader in self._nursery.leaders.values()):
            self._owes_all = False
            self._tell(HeldAll())

    def _greet(self) -> None:
        """Say to a supervisor that we are ready, and give it its end of the leash."""
        assert self._ready is not None  # noqa: S101 - we serve
        self._link.send(self._ready, (self._workshop.leash.write,))

    def _tell_of(self, leader: Leader) -> None:
        """Tell the next supervisor of a child that it did not ask for."""
        held = Held(leader.attempt, leader.pid, leader.tmpdir, leader.kind, leader.frames)
        self._link.send(held, leader.handed_down())
        for ending in (leader.exited, leader.reaped):
            if ending is not None:
                self._tell(ending)

    def _tell(self, message: ToSupervisor) -> None:
        self._link.send(message)

    def _obey(self, wish: Spawn | Kill | Release | Forget | Retire, fds: list[int]) -> None:
        match wish:
            case Spawn():
                self._spawn(wish, fds)
            case Kill(attempt, number, scope):
                leader = self._nursery.by_attempt.get(attempt)
                if leader is not None and leader.pid in self._nursery.leaders:
                    deliver(leader, number, scope)
            case Release(attempt):
                leader = self._nursery.by_attempt.get(attempt)
                if leader is not None and leader.begun:
                    leader.release()
            case Forget(attempt):
                self._nursery.forget(attempt)
            case Retire():
                self._retired = True

    def _spawn(self, spawn: Spawn, fds: list[int]) -> None:
        attempt = spawn.request.attempt
        reason = "the keeper is retired" if self._retired else "" if fds else os.strerror(errno.EMFILE)
        if attempt in self._nursery.by_attempt:
            reason = f"attempt {attempt} runs already"
        if reason:
            for fd in fds:
                os.close(fd)
            self._tell_failure(spawn.seq, attempt, reason)
            return
        try:
            leader = fork(spawn, fds[0], self._workshop)
            leader.supervisor = self._supervisor
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
        self._tell_all()

    def _begin(self, leader: Leader) -> None:
        leader.begun = True
        if leader.supervisor == self._supervisor:
            told = Spawned(leader.seq, leader.attempt, leader.pid, leader.tmpdir, leader.warnings)
            self._link.send(told, leader.handed_over())
        else:
            self._tell_of(leader)

    def _tell_failure(self, seq: int, attempt: str, reason: str) -> None:
        self._tell(SpawnFailed(seq, attempt, reason))

    def _mind_children(self) -> None:
        """While nobody else does."""
        now = time.monotonic()
        running = ((leader.attempt, leader.tenure()) for leader in self._nursery.leaders.values())
        orders, self._again = self._solitude.orders(running, now)
        for attempt, number in orders:
            scope = Scope.TREE if number == signal.SIGKILL else Scope.LEADER
            deliver(self._nursery.by_attempt[attempt], number, scope)
        if self._link.fileno() == -1 and self._nursery.kept and self._nursery.quiet:
            self._again = self._solitude.lingers_until()


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


def _let_go_of_streams() -> None:
    """Whoever reads what the supervisor printed is to see the end of it now, and not when we end."""
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in (1, 2):
        os.dup2(nowhere, fd)
    os.close(nowhere)


def _user_of(end: socket.socket) -> int:
    """Say which user is at the other end: the kernel knows."""
    found = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    user: int = struct.unpack("3i", found)[1]
    return user
