"""Keepers and what their client does: children are made, signalled, and their ends told, whoever dies meanwhile.

What a keeper does that is alone is decided by its own core, `supervisor.solitude`, from the children's own slates. Else
it follows its loop's rules: it holds a duplicate of each channel and slate, keeps each end until it is told to forget
it, takes no new children after it has lost a supervisor, and tells the next one of all that it has. The children
of a keeper that died fall to their supervisor; when both are gone the kernel ends them.
"""

import asyncio
import os
from collections.abc import Callable

from msgspec import Struct

from supervisor.keeper.children import Child, Ending, SpawnError
from supervisor.keeper.link import Exited, Kind, Scope, SpawnRequest
from supervisor.slate import tenure_of
from supervisor.solitude import Event, Solitude, State
from tests.simulation.children import KILL, Manner, Process
from tests.simulation.loop import SimLoop
from tests.simulation.pipes import Sockets, pair
from tests.simulation.watch import Watch
from tests.simulation.world import Party, World

FORK_S = 0.01
NEWS_S = 0.002
ORPHAN_GRACE_S = 2.0
NO_FD = -1


class Machine:
    """The processes of one machine: those that run, whoever knows of them."""

    def __init__(self, world: World, watch: Watch, sockets: Sockets, manner_of: Callable[[str], Manner]) -> None:
        self.world = world
        self.watch = watch
        self.sockets = sockets
        self.manner_of = manner_of
        self.processes: list[Process] = []
        self.keepers: list[Keeper] = []
        self.skew_s = 0.0
        self._pids = 1 << 30  # no process of the real machine has such a pid

    def start(self, request: SpawnRequest) -> Process:
        """Make a process."""
        self._pids += 1
        ours, theirs = pair() if request.frames else (None, None)
        process = Process(self.watch, request.attempt, self._pids, self.manner_of(request.attempt), theirs)
        process.tell("is started")
        self.processes.append(process)
        process.ours, process.home, process.skew_s = ours, self, self.skew_s
        return process

    def let_go(self) -> None:
        """Kill who is on a leash that nobody holds: as the kernel does when keeper and supervisor are both gone."""
        for process in self.running:
            if process.abandoned and not process.manner.slips:
                process.receive(KILL)

    @property
    def running(self) -> list[Process]:
        """Those that live."""
        return [each for each in self.processes if each.alive]


class Kept(Struct, eq=False):
    """What a keeper has of a child."""

    process: Process
    kind: Kind
    frames: bool
    slate: int
    unwanted: bool = False


class Keeper(Party):
    """One keeper process."""

    def __init__(self, machine: Machine, name: str, parent: int) -> None:
        super().__init__(machine.world, name)
        self.parent = parent
        """Whose child it is: to that process its own children fall."""
        self.children: dict[str, Kept] = {}
        self.retired = False
        self._machine = machine
        self._solitude = Solitude(ORPHAN_GRACE_S)
        machine.keepers.append(self)

    @property
    def alone(self) -> bool:
        """Whether it waits for a supervisor."""
        return self.alive and self._solitude.state is State.ALONE

    def lose(self) -> None:
        """Its supervisor is gone."""
        if self.alive:
            self.retired = True
            self._solitude.handle(Event.LOST, self.world.now)
            self._mind()

    def admit(self) -> None:
        """Another one is at the door."""
        self._solitude.handle(Event.CAME, self.world.now)
        self.tidy()

    def forget(self, attempt: str) -> None:
        """Do not keep how this one ended, or will end."""
        kept = self.children.get(attempt)
        if kept is not None:
            kept.unwanted = True
            self.tidy()

    def tidy(self) -> None:
        """Drop those that have ended and nobody wants."""
        for attempt, kept in list(self.children.items()):
            if kept.unwanted and not kept.process.alive:
                del self.children[attempt]
                os.close(kept.slate)

    def _mind(self) -> None:
        """Look after the children while nobody else does."""
        if not self.alone:
            return
        running = [(name, tenure_of(each.slate)) for name, each in self.children.items() if each.process.alive]
        orders, again = self._solitude.orders(running, self.world.now)
        for attempt, number in orders:
            self.children[attempt].process.receive(number)
        if not self.children or (again is None and self.world.now >= self._solitude.lingers_until()):
            self.end()
        else:
            self.later(max((again or self._solitude.lingers_until()) - self.world.now, 0.0) + NEWS_S, self._mind)

    def end(self) -> None:
        """Be no more."""
        if self.alive:
            self.alive = False
            children, self.children = self.children, {}
            for kept in children.values():
                os.close(kept.slate)
                if kept.process.ours is not None:
                    kept.process.ours.let_go(self)
            self._machine.let_go()


class Client:
    """What a supervisor has of its keepers: as `supervisor.keeper.client.KeeperClient`."""

    keeper_pids: tuple[int, ...] = ()
    serving_pid = None

    def __init__(self, machine: Machine, supervisor: Party, loop: SimLoop, pid: int) -> None:
        self.children: dict[str, Child] = {}
        self._machine = machine
        self._supervisor = supervisor
        self._pid = pid
        self._loop = loop
        self._known: dict[str, tuple[Keeper, Process]] = {}
        self._slates: list[tuple[int, int]] = []
        self._count = 0
        self._keepers: list[Keeper] = []
        self.keeper = self._start_keeper()

    def _start_keeper(self) -> Keeper:
        self._count += 1
        keeper = Keeper(self._machine, f"{self._supervisor.name}'s keeper {self._count}", self._pid)
        self._keepers.append(keeper)
        return keeper

    @property
    def living(self) -> list[Keeper]:
        """The keepers that live: the one that serves, and those that were adopted."""
        return [keeper for keeper in self._keepers if keeper.alive]

    async def adopt(self) -> list[Child]:
        """Find the keepers that outlived their supervisor, and all that they hold."""
        found: list[Child] = []
        for keeper in self._machine.keepers:
            if keeper.alone:
                keeper.admit()
                self._keepers.append(keeper)
                found += [self._take_over(keeper, kept) for kept in keeper.children.values()]
        await asyncio.sleep(NEWS_S)
        return found

    def _take_over(self, keeper: Keeper, kept: Kept) -> Child:
        process = kept.process
        request = SpawnRequest(process.attempt, kept.kind, frames=kept.frames)
        child = self._know(keeper, kept, request, os.dup(kept.slate))
        if not process.alive:
            self._ended(child, process)
        return child

    async def spawn(self, request: SpawnRequest, slate: int) -> Child:
        """Start a child, or raise SpawnError."""
        self.note(slate)
        world = self._machine.world
        await asyncio.sleep(world.between(0, FORK_S))
        if not self.keeper.alive:
            self.keeper = self._start_keeper()
        self.keeper.tidy()
        if request.attempt in self.children or request.attempt in self.keeper.children:
            os.close(slate)
            raise SpawnError(f"attempt {request.attempt} runs already")
        process = self._machine.start(request)
        kept = self.keeper.children[request.attempt] = Kept(process, request.kind, request.frames, os.dup(slate))
        if process.ours is not None:
            process.ours.holders.add(self.keeper)
        child = self._know(self.keeper, kept, request, slate)
        await asyncio.sleep(world.between(0, FORK_S))
        return child

    def note(self, slate: int) -> None:
        """Close this when the supervisor dies, as the kernel would."""
        self._slates.append((slate, os.fstat(slate).st_ino))

    def _know(self, keeper: Keeper, kept: Kept, request: SpawnRequest, slate: int) -> Child:
        process = kept.process
        process.owner, process.keeper = self._supervisor, keeper
        process.on_end = lambda: self._ended(child, process)
        self.note(slate)
        fds = [NO_FD, NO_FD, NO_FD, slate]
        if process.ours is not None:
            fds += [self._machine.sockets.hand(process.ours, self._supervisor), NO_FD]
        child = Child(request, process.pid, fds, "")
        vars(child)["start_time"] = process.pid  # else it would be asked of /proc
        self.children[child.attempt] = child
        self._known[child.attempt] = keeper, process
        return child

    def kill(self, child: Child, number: int, scope: Scope = Scope.LEADER) -> None:
        """Signal a child."""
        del scope
        if not self._supervisor.alive or child.attempt not in self._known:
            return
        _, process = self._known[child.attempt]
        world = self._machine.world
        world.nature.later(world.between(0, NEWS_S), lambda: process.receive(number))

    def forget(self, child: Child) -> None:
        """Have nobody keep how it ended."""
        if self._supervisor.alive and child.attempt in self._known:
            keeper, _ = self._known[child.attempt]
            keeper.forget(child.attempt)

    def _ended(self, child: Child, process: Process) -> None:
        """Its status is told when it is known, and its end when nothing of it is left.

        Who is of an adopted keeper that died has fallen to init: its end is seen, and its status by nobody.
        """
        keeper, _ = self._known[child.attempt]
        delay = self._machine.world.between(0, NEWS_S)
        if keeper.alive or keeper.parent == self._pid:
            exited = Exited(child.attempt, child.pid, process.code, process.signal, core=False)
            self._loop.call_later(delay, child.tell_exit, exited)
        self._loop.call_later(delay + NEWS_S, self._gone, child)

    def _gone(self, child: Child) -> None:
        self.children.pop(child.attempt, None)
        exited = child.exited.result() if child.exited.done() else None
        if not child.ended.done():
            child.ended.set_result(Ending(None, None) if exited is None else Ending(exited.code, exited.signal))

    async def stop(self) -> None:
        """End all that is left."""
        for child in [*self.children.values()]:
            self.kill(child, KILL)
        for attempt, (keeper, _) in self._known.items():
            keeper.forget(attempt)
        for keeper in self._keepers:
            if not any(kept.process.alive for kept in keeper.children.values()):
                keeper.end()

    def die(self) -> None:
        """Be killed with the supervisor: its fds are closed, and its keepers are alone."""
        self.close()
        self._machine.let_go()
        for keeper in self._keepers:
            self._machine.world.nature.later(NEWS_S, keeper.lose)

    def close(self) -> None:
        """Close the slates that are still open. A fd that was closed may be another's by now."""
        for fd, inode in self._slates:
            try:
                ours = os.fstat(fd).st_ino == inode
            except OSError:
                continue
            if ours:
                os.close(fd)
        self._slates.clear()
