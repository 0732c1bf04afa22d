"""How the keeper makes a child: directory, group, channels, fork, and a word from the child that it has begun."""

import gc
import os
import re
import signal
import socket
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from supervisor.keeper.cgroups import Group, Groups, unenforced
from supervisor.keeper.executing import execute, is_quick
from supervisor.keeper.leash import Leash, fasten
from supervisor.keeper.link import Exited, Kind, Reaped, Spawn
from supervisor.keeper.native import raw_signal
from supervisor.keeper.plumbing import Ends, Ground, Start, begin
from supervisor.places import trouble
from supervisor.slate import tenure_of

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,120}\Z")


Undo = tuple[Callable[[Any], object], object]
"""What takes a step back, and its argument. A list of these and no `ExitStack`, which is 20 pages at each fork."""


class RefusedError(Exception):
    """A child that cannot be made, and why."""


class Workshop(NamedTuple):
    """What every child is made with."""

    start: Start
    tmp_root: str
    nowhere: int
    """What a child reads from as stdin: nothing."""
    groups: Groups | None
    home: Group | None
    """The keeper's own, if the attempts have groups."""
    numbers: "count[int]"
    leash: Leash


class Channels:
    """Both ends of a child's channels, by name. Whatever was made when something fails is in one of the two."""

    def __init__(self, slate: int) -> None:
        self.ours: dict[str, int] = {"slate": slate}
        self.theirs: dict[str, int] = {}

    def make(self, *, frames: bool, report: bool) -> None:
        """Make them all. Pipes where one direction is enough: they cost both sides less than sockets."""
        for name in ("stdout", "stderr", *(("logs",) if frames else ()), *(("report",) if report else ())):
            self.ours[name], self.theirs[name] = os.pipe2(os.O_CLOEXEC)
        if frames:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            self.ours["frames"], self.theirs["frames"] = ours.detach(), theirs.detach()


class Leader:
    """A child of the keeper's, from its fork until nothing of it is left. It owns the duplicates of its channels."""

    def __init__(self, spawn: Spawn, pid: int, held: dict[str, int], ground: Ground, warnings: list[str]) -> None:
        self.seq = spawn.seq
        self.attempt = spawn.request.attempt
        self.pid = pid
        self.report = held.pop("report", -1)
        """Where the child says that it has begun; -1 when it has, or has failed to."""
        self.held = held
        self.tmpdir = ground.tmpdir
        self.group = ground.group
        self.warnings = warnings
        self.begun = False
        self.kind, self.frames = spawn.request.kind, spawn.request.frames
        self.exited: Exited | None = None
        self.reaped: Reaped | None = None
        """How it ended, as it was told; kept until somebody says that it may be forgotten."""
        self.unwanted = False
        self.supervisor = 0
        self.failure = "it ended before it had begun"

    def handed_over(self) -> list[int]:
        """Give the supervisor's ends, in the order in which it expects them. The slate is its own."""
        return [self.held[name] for name in ("pidfd", "stdout", "stderr", "frames", "logs") if name in self.held]

    def handed_down(self) -> list[int]:
        """Give all to another supervisor than the one that asked for it."""
        return [
            self.held[name] for name in ("pidfd", "stdout", "stderr", "slate", "frames", "logs") if name in self.held
        ]

    def tenure(self) -> tuple[float, float] | None:
        """Say until when it may run without a supervisor."""
        return tenure_of(self.held["slate"]) if "slate" in self.held else None

    def release(self) -> None:
        """Close our duplicates of its channels. Twice is fine."""
        _close(self.held)

    def close_report(self) -> None:
        """The child has begun, or never will. Twice is fine."""
        if self.report != -1:
            os.close(self.report)
            self.report = -1


def fork(spawn: Spawn, slate: int, workshop: Workshop) -> Leader:
    """Make a child, to which this slate belongs. Whether it has begun is said over its `report`, if it has one.

    Nothing is left when this raises, nor is the slate.
    """
    channels = Channels(slate)
    undo: list[Undo] = [(_close, channels.ours)]
    try:
        return _forked(spawn, channels, workshop, undo)
    except BaseException as error:
        for back, what in reversed(undo):
            back(what)
        if isinstance(error, OSError):
            raise RefusedError(trouble(error, workshop.tmp_root)) from error
        raise


def _forked(spawn: Spawn, channels: Channels, workshop: Workshop, undo: list[Undo]) -> Leader:
    request = spawn.request
    if not NAME.match(request.attempt):
        raise RefusedError(f"{request.attempt!r} is no name for an attempt: letters, digits and _.+- are")
    if request.kind is Kind.EXEC and not request.argv:
        raise RefusedError("nothing to execute")
    name = f"{request.attempt}.{os.getpid()}-{next(workshop.numbers)}"
    warnings = unenforced(request.limits, workshop.groups.controllers if workshop.groups else frozenset())
    tmpdir = _directory(f"{workshop.tmp_root}/{name}", spawn, undo)
    group = _group(name, spawn, workshop.groups, undo)
    try:
        home = workshop.home if is_quick(request, workshop.home) else None
        channels.make(frames=request.frames, report=home is None)
        channels.theirs["leash"] = workshop.leash.end()
        ends = Ends(stdin=workshop.nowhere, **channels.theirs)
        ground = Ground(ends, tmpdir, group, workshop.start)
        pid = _fork(spawn, ground) if home is None else execute(request, ground, home)
        undo.append((_take_back, pid))
        fasten(ends.leash, pid)
    finally:
        _close(channels.theirs)
    channels.ours["pidfd"] = os.pidfd_open(pid)
    return Leader(spawn, pid, channels.ours, ground, warnings)


def _fork(spawn: Spawn, ground: Ground) -> int:
    """Fork with handled signals held back: until the child has let go of the keeper's handlers it must not run them."""
    # Else the child's collector begins with what the keeper has made for every child that lives, and so copies it.
    gc.freeze()
    raw_signal.pthread_sigmask(raw_signal.SIG_BLOCK, ground.start.handled)
    try:
        pid = os.fork()
        if pid == 0:
            begin(spawn.request, ground)
    finally:
        raw_signal.pthread_sigmask(raw_signal.SIG_SETMASK, ())
    return pid


def _take_back(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _directory(path: str, spawn: Spawn, undo: list[Undo]) -> str:
    os.mkdir(path, 0o700)
    undo.append((os.rmdir, path))
    if spawn.request.limits.account is not None:
        os.chown(path, spawn.request.limits.account.uid, spawn.request.limits.account.gid)
    return path


def _group(name: str, spawn: Spawn, groups: Groups | None, undo: list[Undo]) -> Group | None:
    if groups is None:
        return None
    group = groups.make(name, spawn.request.limits)
    undo.append((Group.remove, group))
    return group


def _close(fds: dict[str, int]) -> None:
    while fds:
        os.close(fds.popitem()[1])
