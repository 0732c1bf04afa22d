"""The keeper and what its client does: children are made, signalled, and their ends told, whoever dies meanwhile.

The rules are those of `supervisor.keeper`: a keeper that is left alone stops its children, SIGTERM first; the children
of a keeper that died fall to the supervisor, which then knows their ends itself; when both are gone nobody knows.
"""

import asyncio
from collections.abc import Callable

from supervisor.keeper.children import Child, Ending, SpawnError
from supervisor.keeper.link import Exited, Scope, SpawnRequest
from tests.simulation.children import KILL, TERM, Manner, Process
from tests.simulation.loop import SimLoop
from tests.simulation.pipes import Sockets, pair
from tests.simulation.watch import Watch
from tests.simulation.world import Party, World

FORK_S = 0.01
NEWS_S = 0.002
ORPHAN_GRACE_S = 4.0
NO_FD = -1


class Machine:
    """The processes of one machine: those that run, whoever knows of them."""

    def __init__(self, world: World, watch: Watch, sockets: Sockets, manner_of: Callable[[str], Manner]) -> None:
        self.world = world
        self.watch = watch
        self.sockets = sockets
        self.manner_of = manner_of
        self.processes: list[Process] = []
        self._pids = 1 << 30  # no process of the real machine has such a pid

    def start(self, request: SpawnRequest) -> tuple[Process, int]:
        """Make a process. Its channel's other end is given as a fd to nobody yet."""
        self._pids += 1
        ours, theirs = pair() if request.frames else (None, None)
        manner = self.manner_of(request.attempt)
        process = Process(self.watch, request.attempt, self._pids, manner, theirs)
        process.tell("is started")
        self.processes.append(process)
        process.ours = ours
        return process, self._pids

    @property
    def running(self) -> list[Process]:
        """Those that live."""
        return [each for each in self.processes if each.alive]


class Keeper(Party):
    """One keeper process."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.children: list[Process] = []

    def left_alone(self) -> None:
        """Its supervisor is gone: the children are stopped, and so is it."""
        if not self.alive:
            return
        for child in self.children:
            child.receive(TERM)
        self.later(ORPHAN_GRACE_S, self._end)

    def _end(self) -> None:
        for child in self.children:
            child.receive(KILL)
        self.alive = False


class Client:
    """What a supervisor has of its keepers: as `supervisor.keeper.client.KeeperClient`."""

    def __init__(self, machine: Machine, supervisor: Party, loop: SimLoop) -> None:
        self.children: dict[str, Child] = {}
        self._machine = machine
        self._supervisor = supervisor
        self._loop = loop
        self._processes: dict[int, Process] = {}
        self._count = 0
        self.keeper = self._start_keeper()

    def _start_keeper(self) -> Keeper:
        self._count += 1
        return Keeper(self._machine.world, f"{self._supervisor.name}'s keeper {self._count}")

    async def spawn(self, request: SpawnRequest) -> Child:
        """Start a child, or raise SpawnError."""
        world = self._machine.world
        if request.attempt in self.children:
            raise SpawnError(f"attempt {request.attempt} runs already")
        await asyncio.sleep(world.between(0, FORK_S))
        if not self.keeper.alive:
            self.keeper = self._start_keeper()
        process, pid = self._machine.start(request)
        self.keeper.children.append(process)
        process.owner, process.keeper = self._supervisor, self.keeper
        process.on_end = lambda: self._ended(child, process)
        fds = [NO_FD, NO_FD, NO_FD]
        if process.ours is not None:
            process.ours.holders.add(self.keeper)
            fds += [self._machine.sockets.hand(process.ours, self._supervisor), NO_FD]
        child = Child(request, pid, fds, "")
        vars(child)["start_time"] = pid  # else it would be asked of /proc
        self.children[child.attempt] = child
        self._processes[pid] = process
        await asyncio.sleep(world.between(0, FORK_S))
        return child

    def kill(self, child: Child, number: int, scope: Scope = Scope.LEADER) -> None:
        """Signal a child."""
        del scope
        process = self._processes.get(child.pid)
        if process is not None and process.alive and self._supervisor.alive:
            self._machine.world.nature.later(self._machine.world.between(0, NEWS_S), lambda: process.receive(number))

    def _ended(self, child: Child, process: Process) -> None:
        """Its status is told when it is known, and its end when nothing of it is left."""
        exited = Exited(child.attempt, child.pid, process.code, process.signal, core=False)
        delay = self._machine.world.between(0, NEWS_S)
        self._loop.call_later(delay, child.tell_exit, exited)
        self._loop.call_later(delay + NEWS_S, self._gone, child)

    def _gone(self, child: Child) -> None:
        self.children.pop(child.attempt, None)
        exited = child.exited.result()
        if not child.ended.done():
            child.ended.set_result(Ending(exited.code, exited.signal))

    async def stop(self) -> None:
        """End all that is left."""
        for child in [*self.children.values()]:
            self.kill(child, KILL)
        self.keeper.alive = False
