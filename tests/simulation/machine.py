"""The machine below our code: what is put in the place of the real one while a history is played.

Not one part of Taskhand is replaced. It is the clock on the wall, chance, sockets, and the look into /proc.
"""

import asyncio
import contextlib
import logging
import os
import sys
import time
from asyncio import events
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import server.points
import server.sql.rows
import server.tokens
import supervisor.adoption
import supervisor.api
import supervisor.attempt
import supervisor.channels
import supervisor.peeking
import supervisor.points
import supervisor.recovering
import supervisor.slate
import supervisor.watching
import supervisor.worker
from supervisor.leftovers import Swept
from supervisor.rhythm import Times
from tests.simulation.children import KILL, TERM, Process
from tests.simulation.pipes import Sockets
from tests.simulation.supervising import Supervisor
from tests.simulation.world import World

SWEEP_GRACE_S = 5.0
NOWHERE = Path("/nonexistent/taskhand")
OURS = ("supervisor", "server")


class _Kind(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


def _calendar(world: World) -> type:
    """Give a `datetime` whose now is the world's."""

    class Moment(datetime, metaclass=_Kind):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return world.wall.astimezone(tz)

    return Moment


def _clock(world: World) -> SimpleNamespace:
    """Give a module `time` of the world's."""
    return SimpleNamespace(
        time=lambda: world.wall.timestamp(),  # noqa: PLW0108 - whose wall it is, is asked each time
        time_ns=lambda: int(world.wall.timestamp() * 1e9),
        monotonic=lambda: world.now,
        monotonic_ns=lambda: int(world.now * 1e9),
        perf_counter=lambda: world.now,
    )


def _clocks() -> list[tuple[Any, str, bool]]:
    """Name every place where our modules keep a clock, and whether it is a calendar."""
    found: list[tuple[Any, str, bool]] = []
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in OURS:
            found += [(module, "datetime", True)] if vars(module).get("datetime") is datetime else []
            found += [(module, "time", False)] if vars(module).get("time") is time else []
    return found


CLOCKS = _clocks()


class SlateOs:
    """A module `os` for slates. Their memory is the kernel's own, and only the sockets are not."""

    def __init__(self, world: World, sendfile: Any, urandom: Any) -> None:
        self.sendfile = sendfile
        self.urandom = urandom
        self._world = world

    def memfd_create(self, name: str) -> int:
        """Make one, which is closed when who made it dies."""
        fd, acting = os.memfd_create(name), self._world.acting
        if isinstance(acting, Supervisor):
            acting.keeper.note(fd)
        return fd

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


@contextlib.contextmanager
def machine(world: World, sockets: Sockets, passed: Callable[[str], None]) -> Iterator[None]:
    """Have our code live on this world's machine. `passed` is called at each point where a test may have it die."""
    calendar, clock = _calendar(world), _clock(world)

    async def sweep(*_: Any, **__: Any) -> Swept:
        acting = world.acting
        assert isinstance(acting, Supervisor)
        return await swept(acting)

    async def capture(*_: Any) -> None:
        """Stacks are for people."""

    def urandom(count: int) -> bytes:
        return world.random.randbytes(count)

    replaced: list[tuple[Any, str, Any]] = [
        *((module, name, calendar if is_calendar else clock) for module, name, is_calendar in CLOCKS),
        (supervisor.channels, "socket", sockets),
        (supervisor.points, "_reached", passed),
        (server.points, "_reached", passed),
        (supervisor.slate, "os", SlateOs(world, sockets.sendfile, urandom)),
        (supervisor.slate, "_waiting", lambda end: end.waiting),
        (supervisor.peeking, "readable", sockets.readable),
        (supervisor.peeking, "unread", sockets.unread),
        (supervisor.adoption, "os", SimpleNamespace(close=sockets.close)),
        (supervisor.api, "os", SimpleNamespace(urandom=urandom)),
        (supervisor.attempt, "capture", capture),
        (supervisor.attempt, "folder_of", lambda *_: None),
        (supervisor.recovering, "shutil", SimpleNamespace(rmtree=lambda *_, **__: None)),
        (supervisor.recovering, "sweep", sweep),
        (supervisor.watching, "own_group", lambda: None),
        (supervisor.watching, "MACHINE", NOWHERE),
        (supervisor.worker, "children_root", lambda _: NOWHERE),
        (supervisor.worker, "remembered", lambda _: Times()),
        (supervisor.worker, "remember", lambda *_: None),
        (server.sql.rows, "urandom", urandom),
        (logging.getLogger("server"), "disabled", True),
        (server.tokens, "uuid4", lambda: UUID(bytes=urandom(16))),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in replaced]
    for module, name, ours in replaced:
        setattr(module, name, ours)
    try:
        yield
    finally:
        events._set_running_loop(None)  # noqa: SLF001 - whichever loop ran last is over
        for module, name, real in before:
            setattr(module, name, real)


async def swept(mine: Supervisor) -> Swept:
    """As `supervisor.leftovers`: wait for what ends by itself, then kill what does not."""
    world = mine.world

    def left() -> list[Process]:
        return [each for each in mine.site.machine.running if each.owner is not None and not each.owner.alive]

    waited = left()
    for process in waited:
        if process.keeper is None or not process.keeper.alive:
            process.receive(TERM)
    until = world.now + SWEEP_GRACE_S
    while left() and world.now < until:  # noqa: ASYNC110 - as the real one, which waits in a thread
        await asyncio.sleep(0.05)
    killed = left()
    for process in killed:
        process.receive(KILL)
    return Swept(len(waited), len(killed), 0)
