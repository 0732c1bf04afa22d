"""One keeper process, as the supervisor sees it: started by exec, ready when it says so, gone when its pidfd does.

Or found: a keeper of a supervisor that is no more, which tells of its children and starts no others.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from supervisor.keeper import doors
from supervisor.keeper.children import Child
from supervisor.keeper.fosterage import MARK, mark
from supervisor.keeper.identity import GoneError, start_time
from supervisor.keeper.link import (
    BOUND,
    Charge,
    HeldAll,
    Link,
    Packet,
    Ready,
    Refused,
    Retire,
    SpawnRequest,
    ToKeeper,
    ToSupervisor,
    read_by_supervisor,
)
from supervisor.keeper.reserve import FdReserve
from supervisor.places import trouble

LINK_FD = 3
DOOR_FD = 4


class KeeperError(Exception):
    """No keeper could be started, and why."""


class KeeperKilledError(KeeperError):
    """Somebody killed it while it started. Another may fare better."""


class KeeperSettings(msgspec.Struct, frozen=True):
    """What a keeper is started with. All of it is policy: nothing here is looked up anywhere else."""

    tmp_root: str
    """Where the children's temporary directories are made. Ours: 0700, on a local file system."""
    entry: str = "runner.child:main"
    """What a Python child calls, `module:function`, with the fds of its frames and of its logs (or None and None)."""
    preload: tuple[str, ...] = ()
    """Modules imported before the first fork. One that fails is a warning, not the end."""
    env: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The whole environment of keeper and children. No secrets: a child can read all of it."""
    python: str = sys.executable
    cgroup: str | None = "auto"
    """The cgroup v2 directory for the attempts' groups; "auto" makes one where the machine lets us, None uses none."""
    doors: str | None = None
    """The folder where supervisors find keepers that outlived theirs; None: a keeper ends with its supervisor."""
    open_files: int | None = None
    """How many files a child may have open, where the supervisor has raised that for itself; None: as many as it."""
    ready_within_s: float = 30.0
    spawn_within_s: float = 60.0
    """How long it may say nothing while a spawn waits, before it counts as hung, is killed, and another is asked."""
    stop_within_s: float = 10.0
    orphan_grace_s: float = 10.0
    """How long children get between SIGTERM and SIGKILL that nobody can adopt, or whose keeper is told to end."""
    recheck_s: float = 1.0
    """How often, at most, the imported files are compared with those on disk."""


class Pending(msgspec.Struct):
    """A spawn that was asked for and not answered yet."""

    request: SpawnRequest
    slate: int
    answer: "asyncio.Future[Child | None]"


class KeeperProcess:
    """One process and its link. It tells `on_message` what the keeper says, and `on_gone` once, when it has ended."""

    def __init__(
        self,
        settings: KeeperSettings,
        on_message: Callable[["KeeperProcess", ToSupervisor, Packet], None],
        on_gone: Callable[["KeeperProcess"], None],
        reserve: FdReserve,
    ) -> None:
        self.pid = -1
        self.ready: Ready | None = None
        self.pending: dict[int, Pending] = {}
        self.children: dict[str, Child] = {}
        self.leash = -1
        """Our end: as long as we hold it, the children may live without their keeper."""
        self._reserve = reserve
        self._settings = settings
        self._on_message = on_message
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._first_word: asyncio.Future[Ready | Refused | None] = self._loop.create_future()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = -1
        self._heard_at = self._loop.time()
        self._link: Link | None = None
        self._door: doors.Door | None = None
        self.told_all: asyncio.Future[None] = self._loop.create_future()
        """Done when a keeper that was found has told of all its children, or has ended over it."""

    async def start(self) -> Ready:
        """Start it and wait for its word. When this raises, nothing is left of it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._link = Link(ours)
        try:
            self._door = None if self._settings.doors is None else doors.make(self._settings.doors)
            with theirs:
                self.pid = self._exec(theirs.fileno())
            self._pidfd = os.pidfd_open(self.pid)
        except OSError as error:
            self._link.close()
            self._shut_door()
            own = error.filename == self._settings.python
            why = error.strerror if own else trouble(error, self._settings.tmp_root)
            raise KeeperError(f"{self._settings.python} could not be started: {why}") from error
        if self._door is not None:
            self._door.socket.close()  # it is the keeper's now
        self._loop.add_reader(self._link.fileno(), self._readable)
        self._loop.add_reader(self._pidfd, self._over)
        try:
            async with asyncio.timeout(self._settings.ready_within_s):
                word = await self._first_word
        except TimeoutError:
            word = Refused(f"it was not ready within {self._settings.ready_within_s:g} s")
        except asyncio.CancelledError:
            await self.end_now()
            raise
        if isinstance(word, Ready):
            self.ready = word
            return word
        await self.end_now()
        could_not = f"the keeper for {self._settings.entry} could not be started"
        if word is not None:
            raise KeeperError(f"{could_not}: {word.reason}")
        code = os.waitstatus_to_exitcode(self._ended.result())
        if code < 0:
            raise KeeperKilledError(f"{could_not}: signal {-code} killed it before it was ready")
        raise KeeperError(f"{could_not}: it ended with status {code} before it was ready")

    async def join(self, path: str) -> bool:
        """Go to the keeper behind this door, and hear of its children: whether there is one. It starts no others."""
        end = doors.knock(path)
        if end is None:
            return False
        self._door = doors.Door(end, path)
        self._link = Link(end)
        self._loop.add_reader(end.fileno(), self._readable)
        try:
            async with asyncio.timeout(self._settings.ready_within_s):
                word = await self._first_word
                if isinstance(word, Ready):
                    self._identify(word)
                    self.retire()
                    await self.told_all
                    return True
        except (TimeoutError, GoneError, OSError):
            if self.children:  # one more is being started, and that takes its time: those that run are ours
                return True
        self._loop.remove_reader(end.fileno())
        self._link.close()
        if self.leash != -1:
            os.close(self.leash)
        if self._pidfd != -1:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        return False

    def _identify(self, word: Ready) -> None:
        pidfd = os.pidfd_open(word.pid)
        if start_time(word.pid) != word.start_time:
            os.close(pidfd)
            raise GoneError(f"no process {word.pid} of then")
        self.pid, self.ready, self._pidfd = word.pid, word, pidfd
        self._loop.add_reader(pidfd, self._over)

    def _shut_door(self) -> None:
        if self._door is not None:
            doors.remove(self._door.path)
            self._door.socket.close()

    @property
    def gone(self) -> bool:
        """Whether it has ended and been collected."""
        return self._ended.done()

    def say(self, message: ToKeeper, fds: Sequence[int] = ()) -> None:
        """Send; what does not fit waits, and nobody is blocked. Saying something to a dead keeper does nothing."""
        link = self._link
        if link is None or link.fileno() == -1:
            return
        link.send(message, fds)
        if link.waiting:
            self._loop.add_writer(link.fileno(), self._writable)

    def changed_files(self) -> list[str]:
        """Compare what it has imported with what is on disk. Called in a thread: this is a few hundred stat calls."""
        changed = []
        for path, mtime_ns, inode in self.ready.files if self.ready else []:
            try:
                now = os.stat(path)
            except OSError:
                changed.append(path)
                continue
            if (now.st_mtime_ns, now.st_ino) != (mtime_ns, inode):
                changed.append(path)
        return changed

    def patience_s(self, since: float) -> float:
        """Give how much longer it may be silent, about a wish of that moment or any other, before it counts as hung."""
        return max(since, self._heard_at) + self._settings.spawn_within_s - self._loop.time()

    def retire(self) -> None:
        """Let it end when its last child has."""
        self.say(Retire())

    def let_go(self) -> None:
        """Serve it no more, and leave it and its children as they are: it waits at its door for the next one."""
        assert self._link is not None  # noqa: S101 - it was started or found
        self._loop.remove_reader(self._link.fileno())
        self._loop.remove_writer(self._link.fileno())
        self._link.close()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        os.close(self.leash)

    async def end_now(self) -> None:
        """Kill it, if it is there, and wait until it is collected. Children are not touched: they fall to us."""
        if self.pid > 0 and not self.gone:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            await self.wait()

    async def wait(self) -> int:
        """Wait until it has ended: its wait status."""
        return await asyncio.shield(self._ended)

    def _exec(self, link_fd: int) -> int:
        settings = self._settings
        charge = Charge(
            link_fd=LINK_FD,
            entry=settings.entry,
            tmp_root=settings.tmp_root,
            preload=settings.preload,
            cgroup=settings.cgroup,
            open_files=settings.open_files,
            door_fd=None if self._door is None else DOOR_FD,
            orphan_grace=settings.orphan_grace_s,
        )
        argv = [settings.python, "-m", "supervisor.keeper", msgspec.json.encode(charge).decode()]
        Path(settings.tmp_root).mkdir(mode=0o700, parents=True, exist_ok=True)
        nowhere = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        link = (os.POSIX_SPAWN_DUP2, link_fd, LINK_FD)
        actions = [nowhere, link]
        if self._door is not None:
            actions.append((os.POSIX_SPAWN_DUP2, self._door.socket.fileno(), DOOR_FD))
        every = set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
        return os.posix_spawn(
            settings.python,
            argv,
            {**BOUND, **settings.env, MARK: mark()},
            file_actions=actions,
            setsid=True,
            setsigmask=[],
            setsigdef=every,
        )

    def _readable(self) -> None:
        link = self._link
        assert link is not None  # noqa: S101 - the reader is added after the link is made
        while True:
            self._reserve.open()
            packet = link.receive()
            self._reserve.shut(used=packet is not None and bool(packet.fds) and self.ready is not None)
            if packet is None:
                return
            if not packet.data:
                self._loop.remove_reader(link.fileno())
                self._loop.remove_writer(link.fileno())
                self._said(None)
                return
            self._take(packet)

    def _take(self, packet: Packet) -> None:
        message = read_by_supervisor.decode(packet.data)
        self._heard_at = self._loop.time()
        if isinstance(message, Ready | Refused):
            self._said(self._held(message, packet))
        elif isinstance(message, HeldAll):
            self._told_all()
        else:
            self._on_message(self, message, packet)

    def _held(self, word: Ready | Refused, packet: Packet) -> Ready | Refused:
        """Take the leash. Without it the children would not outlive their keeper, and that one is no use."""
        if isinstance(word, Refused):
            return word
        if len(packet.fds) != 1:
            return Refused("no file descriptor was left for its leash")
        self.leash = packet.fds[0]
        return word

    def _told_all(self) -> None:
        if not self.told_all.done():
            self.told_all.set_result(None)

    def _said(self, word: Ready | Refused | None) -> None:
        if not self._first_word.done():
            self._first_word.set_result(word)

    def _writable(self) -> None:
        link = self._link
        assert link is not None  # noqa: S101 - the writer is added after the link is made
        link.flush()
        if not link.waiting:
            self._loop.remove_writer(link.fileno())

    def _over(self) -> None:
        """Collect it. By now its children have fallen to us: the kernel moves them before it wakes who waits."""
        self._loop.remove_reader(self._pidfd)
        status = 0
        with contextlib.suppress(ChildProcessError):  # it is another's, who started it before us
            _, status = os.waitpid(self.pid, 0)
        os.close(self._pidfd)
        link = self._link
        if link is not None and link.fileno() != -1:
            self._readable()  # what it still said, fds included, waits in the socket
            self._loop.remove_reader(link.fileno())
            self._loop.remove_writer(link.fileno())
            link.close()
        self._shut_door()
        self._ended.set_result(status)
        self._said(None)
        self._told_all()
        self._on_gone(self)
