"""A worker: its real supervisor, over the simulation's keeper, network and disk. It may be killed and started again.

What a worker is composed of is composed here as `supervisor.running` does it: the journal with what was in it, the
office, the outbox, the source, the worker.
"""

import re
from pathlib import Path
from typing import Any, cast

from protocol.http.workloads import ClaimRequest
from supervisor.api import Client
from supervisor.journal import Opened
from supervisor.journal_files import JournalError, read_disk
from supervisor.journal_writer import Journal
from supervisor.logs import LogTotals
from supervisor.logs_masking import Masker
from supervisor.logs_pump import LogPump
from supervisor.orders import Office
from supervisor.recovering import Outbox
from supervisor.sections import ApiSettings, CheckpointSettings, JournalSettings, LimitSettings, WorkerSettings
from supervisor.settings import Settings
from supervisor.sources import ClaimSource
from supervisor.stopping import Graces
from supervisor.worker import Worker
from tests.simulation import keeper
from tests.simulation.disk import Disk, Hand
from tests.simulation.loop import SimLoop
from tests.simulation.network import Network, Wire
from tests.simulation.serving import worker_token
from tests.simulation.world import Died, Party, World

EXEC_S = 0.4
"""How long there is no supervisor in an upgrade; decision 0038 has what was measured."""

SETTINGS = Settings(
    api=ApiSettings(url="http://server/execution"),
    worker=WorkerSettings(name="worker", state_dir="/nonexistent/taskhand", slots=4, claim_wait_s=12.0),
    limits=LimitSettings(boot_s=5.0, overtime_s=2.0, heartbeat_s=10.0),
    graces=Graces(pod_s=4.0, worker_margin_s=0.5, task_margin_s=0.5, short_s=1.0),
    checkpoints=CheckpointSettings(memory_pressure=0.0),
    journal=JournalSettings(segment_bytes=3000),
)


OURS = re.compile(r"attempt \S+: \w+: ")
"""How a worker begins what it says of an exception that ended one of its attempts."""


class Log:
    """An attempt's log. Logs carry no promise that is looked at here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.masker = Masker()
        self.totals = LogTotals(0, 0, 0, 0, 0, "")

    def attach(self, *_: object) -> None:
        """Nothing is printed."""

    def hold(self) -> None:
        """There is no dump of stacks."""

    def channel(self) -> int | None:
        """There is no other channel."""
        return None

    def say(self, level: str, event: str, **fields: object) -> None:
        """Somebody might read it."""

    def end(self) -> None:
        """Nothing is read that could be read no more."""

    async def finish(self, within_s: float) -> LogTotals:
        """It is finished at once."""
        del within_s
        return self.totals


class Logs:
    """As `LogPump`."""

    def open(self, path: Path) -> Log:
        """Begin one."""
        return Log(path)


class Supervisor(Party):
    """One life of a worker's supervisor."""

    def __init__(self, world: World, name: str, site: "Site", settings: Settings) -> None:
        super().__init__(world, name)
        self.skew_s = site.machine.skew_s
        self.settings = settings
        self.loop = SimLoop(self)
        self.loop.on_reader = lambda fd: site.machine.sockets.listen(fd, self.loop)
        self.keeper = keeper.Client(site.machine, self, self.loop, site.pid)
        self.worker: Worker | None = None
        self.journal: Journal | None = None
        self.site = site
        self.ended = self.loop.begin(self._main)
        self.tell("is up")

    async def _main(self) -> None:
        site = self.site
        wire = Wire(site.network, self.loop)
        client = Client(wire, wire)
        found = read_disk(site.disk)
        session = max(found.story.sessions, default=0) + 1
        settings = self.settings
        opened = Opened(session, site.name, site.number, site.pid, "boot", settings.api.url, 0.0)
        journal = self.journal = Journal(
            site.disk, found, opened, settings.journal.segment_bytes, self._complain, hand=Hand(self.loop, self.world)
        )
        try:
            journal.begin()
        except JournalError as error:
            self.tell(str(error))
        held = await self.keeper.adopt()
        office = Office(
            client=client,
            keeper=cast("Any", self.keeper),
            logs=cast("LogPump", Logs()),
            hostname=site.name,
            unixname="user",
            pid=site.pid,
            journal=journal,
            held=tuple(held),
        )
        request = ClaimRequest(worker=site.name, queues=["default"], slots=1, wait_s=settings.worker.claim_wait_s)
        source = ClaimSource(client, worker_token(self.world.wall), request)
        outbox = Outbox(office, journal, found.story, self._complain)
        self.worker = Worker(office, settings, source, on_fault=self._complain, outbox=outbox)
        self.worker.adopt(found.story, outbox)
        await self.worker.run()
        await self.keeper.stop()
        await journal.stop()
        self.alive = False
        self.tell("has ended")

    def _complain(self, what: str) -> None:
        if self.alive:
            self.tell(what)
            if OURS.match(what):
                self.world.fault(AssertionError(what))

    @property
    def idle(self) -> bool:
        """Whether nothing is on its hands."""
        worker = self.worker
        return worker is not None and not worker.attempts and not worker._delivering  # noqa: SLF001 - nobody else asks

    def drain(self) -> None:
        """Be asked to end."""
        if self.worker is not None:
            self.tell("is asked to end")
            self.loop.enter(self.worker.drain)

    def upgrade(self) -> bool:
        """Be asked to become its successor: whether there is somebody to ask."""
        worker = self.worker
        if worker is None or worker.draining:
            return False
        self.tell("is asked to become its successor")
        self.loop.enter(lambda: worker.leave(self._become))
        return True

    async def _become(self) -> None:
        """As `supervisor.upgrading`: write what is to be written, and execute itself anew."""
        assert self.journal is not None
        await self.journal.stop()
        self.site.replaced_until = self.world.now + EXEC_S
        self.world.nature.later(EXEC_S, lambda: self.site.start(self.site.pid))
        self.die("becomes its successor")
        raise Died

    def die(self, how: str = "is killed") -> None:
        """Be no more, from one moment to the next."""
        self.alive = False
        self.loop.end()
        self.tell(how)
        for process in self.site.machine.processes:
            if process.ours is not None and self in process.ours.holders:
                process.ours.let_go(self)
                process.ours.news = lambda: None
        self.keeper.die()


class Site:
    """A machine with a worker on it: what outlives the worker."""

    def __init__(
        self, world: World, number: int, machine: keeper.Machine, network: Network, settings: list[Settings]
    ) -> None:
        self.world = world
        self.number = number
        self.name = f"worker {number}"
        self.machine = machine
        self.network = network
        self.disk = Disk(world, self.name)
        self.lives = 0
        self.pid = 0
        """Of the supervisor: a successor by `worker upgrade` has the same."""
        self.replaced_until = 0.0
        """An upgrade is under way until then."""
        self._settings = settings or [SETTINGS]
        self.supervisor: Supervisor | None = None

    def start(self, pid: int | None = None) -> None:
        """Start a supervisor, unless one runs."""
        if self.supervisor is None or not self.supervisor.alive:
            settings = self._settings[self.lives % len(self._settings)]
            self.lives += 1
            self.pid = pid or self.number * 1000 + self.lives
            self.disk.failed = False
            name = self.name if self.lives == 1 else f"{self.name} (life {self.lives})"
            self.supervisor = Supervisor(self.world, name, self, settings)

    def kill(self, *, power: bool = False) -> bool:
        """Kill the supervisor: whether there was one."""
        if self.supervisor is None or not self.supervisor.alive:
            return False
        self.supervisor.die()
        self.disk.cut(power=power)
        return True

    def kill_keeper(self) -> bool:
        """Kill one of its keepers: whether there was one."""
        supervisor = self.supervisor
        if supervisor is None or not supervisor.alive or not supervisor.keeper.living:
            return False
        keeper = self.world.random.choice(supervisor.keeper.living)
        keeper.end()
        keeper.tell("is killed")
        return True

    def set_clock(self, skew_s: float) -> None:
        """Have the machine's clock be wrong by so much, for everybody on it."""
        self.machine.skew_s = skew_s
        for party in [self.supervisor, *self.machine.processes]:
            if party is not None:
                party.skew_s = skew_s
