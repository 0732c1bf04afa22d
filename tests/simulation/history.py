"""One history, played: from its seed to what was wrong with it."""

from collections.abc import Callable, Mapping
from functools import partial

from msgspec import Struct

from protocol.flows import FlowGraph
from protocol.states import FINISHED
from server.records import NewRun
from supervisor.journal_files import read_disk
from tests.simulation import plan as plans
from tests.simulation.children import KILL, Manner
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
from tests.simulation.world import World

LONGEST_S = 400.0
LOOK_EVERY_S = 1.0
MOST_STEPS = 60_000
_DONE = ", ".join(f"'{state}'" for state in sorted(FINISHED))
_UNFINISHED = f"SELECT 1 FROM instances WHERE state NOT IN ({_DONE}) LIMIT 1"  # noqa: S608 - a constant of this file


class Told(Struct):
    """How a history went."""

    seed: int
    found: list[str]
    story: Story
    steps: int


class Died(BaseException):
    """The process ends here. No `except Exception` hears of it, and what a `finally` does reaches nobody."""


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
        self.sites = [Site(self.world, number, each, self.network) for number, each in enumerate(self.machines, 1)]
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
        return Told(world.seed, found, world.story, world.steps)

    def _begin(self) -> None:
        self._start_server()
        for site in self.sites:
            site.start()
        for blow in self.plan.blows:
            if blow.at_s is not None:
                self.world.at(blow.at_s, self.world.nature, partial(self._hit, blow))
        for begin, end in self.plan.weather.cuts:
            self.world.at(begin, self.world.nature, partial(self._notice, "the network is cut"))
            self.world.at(end, self.world.nature, partial(self._notice, "the network is whole again"))
        self.world.at(LOOK_EVERY_S, self.world.nature, self._look)

    def _notice(self, what: str) -> None:
        self.watch.faulty()
        self.world.nature.tell(what)

    def _start_server(self) -> None:
        if self.network.server is not None and self.network.server.alive:
            return
        self.server_lives += 1
        name = "server" if self.server_lives == 1 else f"server (life {self.server_lives})"
        server = self.network.server = Server(self.world, name, self.storage, self.skew_s)
        if self.server_lives == 1:
            graph = FlowGraph(dag_id="flow", tasks=self.plan.tasks)
            server.loop.begin(server.deck.store.submit(graph, NewRun(dag_id="flow", run_id="run"), self.world.wall))

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def _strike(self) -> None:
        while self._steps_due and (self._steps_due[0].at_step or 0) <= self.world.steps:
            self._hit(self._steps_due.pop(0))
        self._next_strike = (self._steps_due[0].at_step or 0) if self._steps_due else MOST_STEPS

    def _hit(self, blow: Blow) -> None:
        if not self._settled and self.world.now <= plans.FAULTS_S:
            self.watch.faulty()
            self._BLOWS[blow.what](self, blow, self.sites[blow.which])

    def _pass(self, name: str) -> None:
        """Somebody passes a point: whoever is to die there dies in the middle of a step."""
        self._points += 1
        blow = self._deadly.pop(self._points, None)
        acting = self.world.acting
        if blow is None or self._settled or not acting.alive:
            return
        self.watch.faulty()
        acting.tell(f"is at the point {name}")
        if isinstance(acting, Server):
            self._hit_server(blow, self.sites[0])
        elif isinstance(acting, Supervisor):
            self._hit_supervisor(blow, acting.site)
        raise Died

    def _hit_supervisor(self, blow: Blow, site: Site) -> None:
        site.kill(power=blow.what == "power")
        self._after(blow.lasts_s, site.start)

    def _hit_keeper(self, _: Blow, site: Site) -> None:
        site.kill_keeper()

    def _hit_server(self, blow: Blow, _: Site) -> None:
        if self.network.server is not None and self.network.server.alive:
            self.network.server.die()
        self._after(blow.lasts_s, self._start_server)

    def _hit_child(self, _: Blow, site: Site) -> None:
        if site.machine.running:
            self.world.random.choice(site.machine.running).receive(KILL)

    def _fill_disk(self, blow: Blow, site: Site) -> None:
        site.disk.full_until = self.world.now + blow.lasts_s
        self.world.nature.tell(f"{site.name}'s disk is full for {blow.lasts_s:.3f} s")

    def _set_clock(self, _: Blow, __: Site) -> None:
        self.skew_s += self.world.random.choice((-90.0, -8.0, 8.0, 3600.0))
        if self.network.server is not None:
            self.network.server.skew_s = self.skew_s
        self.world.nature.tell(f"the server's clock is {self.skew_s:g} s off")

    def _drain(self, blow: Blow, site: Site) -> None:
        if site.supervisor is not None and site.supervisor.alive:
            site.supervisor.drain()
            self._after(blow.lasts_s + 5.0, site.start)

    _BLOWS: Mapping[str, Callable[["History", Blow, Site], None]] = {
        "supervisor": _hit_supervisor,
        "power": _hit_supervisor,
        "keeper": _hit_keeper,
        "server": _hit_server,
        "child": _hit_child,
        "disk": _fill_disk,
        "clock": _set_clock,
        "drain": _drain,
    }

    def _after(self, seconds: float, step: Callable[[], None]) -> None:
        """Have somebody come back, which is a disturbance too."""

        def back() -> None:
            self.watch.faulty()
            step()

        self.world.nature.later(seconds, back)

    def _disturbed(self) -> bool:
        server = self.network.server
        if server is None or not server.alive or self.network.cut:
            return True
        away = any(site.supervisor is None or not site.supervisor.alive for site in self.sites)
        return away or any(self.world.now < site.disk.full_until for site in self.sites)

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
        ends += [site.disk.full_until for site in self.sites]
        return max(ends)

    def _quiet(self) -> bool:
        return not self.storage.rows(_UNFINISHED) and all(
            site.supervisor is not None and site.supervisor.idle for site in self.sites
        )

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
    return History(seed, plan).play()
