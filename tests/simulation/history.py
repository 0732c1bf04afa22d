"""One history, played: from its seed to what was wrong with it."""

import asyncio
import contextlib
import gc
import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from msgspec import Struct

from protocol.flows import FlowGraph
from protocol.states import FINISHED
from server.faults import StoreFull
from server.records import NewRun
from supervisor.journal_files import read_disk
from tests.simulation import plan as plans
from tests.simulation.blows import BLOWS, GENTLE, kill_server, kill_supervisor
from tests.simulation.children import Manner
from tests.simulation.database import Storage
from tests.simulation.keeper import Machine
from tests.simulation.machine import machine
from tests.simulation.network import Network
from tests.simulation.pipes import Sockets
from tests.simulation.plan import Blow, Plan
from tests.simulation.serving import Server
from tests.simulation.story import Story
from tests.simulation.supervising import Site, Supervisor
from tests.simulation.watch import Watch
from tests.simulation.world import Died, World

LONGEST_S = 400.0
LOOK_EVERY_S = 1.0
AGAIN_S = 0.5
"""How soon somebody submits a run again for which there was no room."""
MOST_STEPS = 60_000
_DONE = ", ".join(f"'{state}'" for state in sorted(FINISHED))
_UNFINISHED = f"SELECT 1 FROM instances WHERE state NOT IN ({_DONE}) LIMIT 1"  # noqa: S608 - a constant of this file


class Told(Struct):
    """How a history went."""

    seed: int
    found: list[str]
    story: Story
    steps: int
    injected: Counter[str]
    """What went wrong, by its kind."""
    checked: Counter[str]
    """What was looked at, by what has to hold."""


class History:
    """One history being played."""

    def __init__(self, seed: int, plan: Plan | None = None) -> None:
        self.world = World(seed)
        self.plan = plan or plans.drawn(self.world.random)
        self.storage = Storage(self.world)
        self.watch = Watch(self.world, self.storage, self.plan)
        self.storage.on_commit = self.watch.committed
        self.sockets = Sockets(self.world)
        self.network = Network(self.world, self.watch, self.plan.weather)
        self.machines = [Machine(self.world, self.watch, self.sockets, self._manner) for _ in range(self.plan.workers)]
        self.sites = [
            Site(self.world, number, each, self.network, self.plan.settings)
            for number, each in enumerate(self.machines, 1)
        ]
        self.watch.disturbed = self._disturbed
        self.server_lives = 0
        self.skew_s = 0.0
        self._steps_due = sorted(
            (blow for blow in self.plan.blows if blow.at_step is not None), key=lambda blow: blow.at_step or 0
        )
        self._points = 0
        self._deadly = {blow.at_point: blow for blow in self.plan.blows if blow.at_point is not None}
        self._next_strike = 0
        self._settled = False
        self._over = False

    def _manner(self, attempt: str) -> Manner:
        task = self.watch.task_of(attempt)
        count = sum(self.watch.task_of(each.attempt) == task for one in self.machines for each in one.processes)
        return self.plan.manner(task, count)

    def play(self) -> Told:
        """Play it."""
        world = self.world
        try:
            with machine(world, self.sockets, self._pass):
                self._begin()
                while not self._over and world.step():
                    if world.steps >= self._next_strike:
                        self._strike()
                    if self.watch.found or world.faults:
                        break
                self._end()
        finally:
            self.storage.discard()
        found = [*self.watch.found, *(f"{type(each).__name__}: {each}" for each in world.faults)]
        return Told(world.seed, found, world.story, world.steps, self.watch.injected, self.watch.checked)

    def _begin(self) -> None:
        self.start_server()
        for site in self.sites:
            site.start()
        for blow in self.plan.blows:
            if blow.at_s is not None:
                self.world.at(blow.at_s, self.world.nature, partial(self._hit, blow))
        for begin, end in self.plan.weather.cuts:
            self.watch.injected["network cut"] += 1
            self.world.at(begin, self.world.nature, partial(self._notice, "the network is cut"))
            self.world.at(end, self.world.nature, partial(self._notice, "the network is whole again"))
        self.world.at(LOOK_EVERY_S, self.world.nature, self._look)

    def _notice(self, what: str) -> None:
        self.watch.faulty()
        self.world.nature.tell(what)

    def start_server(self) -> None:
        """Start a server, unless one runs."""
        if self.network.server is not None and self.network.server.alive:
            return
        self.server_lives += 1
        self.watch.server_since = self.world.now if self.server_lives > 1 else -math.inf
        name = "server" if self.server_lives == 1 else f"server (life {self.server_lives})"
        server = self.network.server = Server(self.world, name, self.storage, self.skew_s)
        if not self.storage.rows("SELECT 1 FROM runs"):
            server.loop.begin(partial(self._submit, server))

    async def _submit(self, server: Server) -> None:
        graph, run = FlowGraph(dag_id="flow", tasks=self.plan.tasks), NewRun(dag_id="flow", run_id="run")
        while True:
            try:
                await server.deck.store.submit(graph, run, self.world.wall)
            except StoreFull:
                await asyncio.sleep(AGAIN_S)
            else:
                return

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def _strike(self) -> None:
        while self._steps_due and (self._steps_due[0].at_step or 0) <= self.world.steps:
            self._hit(self._steps_due.pop(0))
        self._next_strike = (self._steps_due[0].at_step or 0) if self._steps_due else MOST_STEPS

    def _hit(self, blow: Blow) -> None:
        if not self._settled and self.world.now <= plans.FAULTS_S:
            if blow.what not in GENTLE:
                self.watch.faulty()
            if BLOWS[blow.what](self, blow, self.sites[blow.which]):
                self.watch.injected[blow.what] += 1

    def _pass(self, name: str) -> None:
        """Somebody passes a point: whoever is to die there dies in the middle of a step."""
        self._points += 1
        blow = self._deadly.pop(self._points, None)
        acting = self.world.acting
        if blow is None or self._settled or not acting.alive:
            return
        self.watch.faulty()
        self.watch.injected["death in the middle of a step"] += 1
        acting.tell(f"is at the point {name}")
        if isinstance(acting, Server):
            kill_server(self, blow, self.sites[0])
        elif isinstance(acting, Supervisor):
            kill_supervisor(self, blow, acting.site)
        raise Died

    def after(self, seconds: float, step: Callable[[], None]) -> None:
        """Have somebody come back, which is a disturbance too."""

        def back() -> None:
            self.watch.faulty()
            step()

        self.world.nature.later(seconds, back)

    def _disturbed(self) -> bool:
        server = self.network.server
        if server is None or not server.alive or self.network.cut:
            return True
        now = self.world.now
        away = any(
            site.supervisor is None or not site.supervisor.alive for site in self.sites if now > site.replaced_until
        )
        return away or now < self.storage.full_until or any(now < site.disk.full_until for site in self.sites)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self.watch.look()
        self._over = self._has_ended()
        self.world.at(self.world.now + LOOK_EVERY_S, self.world.nature, self._look)
        if not self._settled and self.world.now > self._calm and self._quiet():
            self._settled = True
            for site in self.sites:
                if site.supervisor is not None and site.supervisor.alive:
                    site.supervisor.drain()

    @property
    def _calm(self) -> float:
        """When nothing goes wrong any more."""
        ends = [self.plan.weather.until, *(end for _, end in self.plan.weather.cuts), self.watch.last_fault]
        ends += [self.storage.full_until, *(site.disk.full_until for site in self.sites)]
        return max(ends)

    def _quiet(self) -> bool:
        idle = all(site.supervisor is not None and site.supervisor.idle for site in self.sites)
        return idle and bool(self.storage.rows("SELECT 1 FROM runs")) and not self.storage.rows(_UNFINISHED)

    def _has_ended(self) -> bool:
        if self.world.now > LONGEST_S or self.world.steps > MOST_STEPS:
            return True
        return self._settled and all(site.supervisor is None or site.supervisor.ended() for site in self.sites)

    def _end(self) -> None:
        if not self.watch.found and not self.world.faults:
            self.watch.over()
            owed = sum(len(read_disk(site.disk).story.entries) for site in self.sites)
            self.watch.left([each for one in self.machines for each in one.running], owed)
        for site in self.sites:
            if site.supervisor is not None:
                site.supervisor.alive = False
                site.supervisor.loop.end()
                site.supervisor.keeper.close()
            for keeper in site.machine.keepers:
                keeper.end()
        if self.network.server is not None:
            self.network.server.alive = False
            self.network.server.loop.end()


def play(seed: int, plan: Plan | None = None) -> Told:
    """Play the history of a seed, or a plan of one's own."""
    with _collected_afterwards():
        return History(seed, plan).play()


@contextlib.contextmanager
def _collected_afterwards() -> Iterator[None]:
    """Look for garbage once and not fifty times: nearly all of a history lives until its end, and then none of it."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
