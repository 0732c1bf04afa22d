"""A worker: its real supervisor, over the simulation's keeper, network and disk. It may be killed and started again.

What a worker is composed of is composed here as `supervisor.running` does it: the journal with what was in it, the
office, the outbox, the source, the worker.
"""

from pathlib import Path
from typing import Any, cast

from protocol.http.workloads import ClaimRequest
from supervisor.api import Client
from supervisor.journal import Opened
from supervisor.journal_files import JournalError, read_disk
from supervisor.journal_writer import Journal
from supervisor.logs import LogPump, LogTotals
from supervisor.logs_masking import Masker
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
from tests.simulation.world import Party, World

SETTINGS = Settings(
    api=ApiSettings(url="http://server/execution"),
    worker=WorkerSettings(name="worker", state_dir="/nonexistent/taskhand", slots=4, claim_wait_s=12.0),
    limits=LimitSettings(boot_s=5.0, overtime_s=2.0, heartbeat_s=10.0),
    graces=Graces(pod_s=4.0, worker_margin_s=0.5, task_margin_s=0.5, short_s=1.0),
    checkpoints=CheckpointSettings(memory_pressure=0.0),
    journal=JournalSettings(segment_bytes=3000),
)


class Log:
    """An attempt's log. Logs carry no promise that is looked at here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.masker = Masker()
        self.totals = LogTotals(0, 0, 0, 0, 0, "")

    def attach(self, *_: object) -> None:
        """Nothing is printed."""

    def channel(self) -> int | None:
        """There is no other channel."""
        return None

    def say(self, level: str, event: str, **fields: object) -> None:
        """Somebody might read it."""

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

    def __init__(self, world: World, name: str, site: "Site") -> None:
        super().__init__(world, name)
        self.loop = SimLoop(self)
        self.loop.on_reader = lambda fd: site.machine.sockets.listen(fd, self.loop)
        self.keeper = keeper.Client(site.machine, self, self.loop)
        self.worker: Worker | None = None
        self.site = site
        self.ended = self.loop.begin(self._main())
        self.tell("is up")

    async def _main(self) -> None:
        site = self.site
        wire = Wire(site.network, self.loop)
        client = Client(wire, wire)
        found = read_disk(site.disk)
        session = max(found.story.sessions, default=0) + 1
        opened = Opened(session, site.name, site.number, session, "boot", SETTINGS.api.url, 0.0)
        journal = Journal(
            site.disk, found, opened, SETTINGS.journal.segment_bytes, self._complain, hand=Hand(self.loop, self.world)
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
            pid=site.number * 1000 + session,
            journal=journal,
            held=tuple(held),
        )
        request = ClaimRequest(worker=site.name, queues=["default"], slots=1, wait_s=SETTINGS.worker.claim_wait_s)
        source = ClaimSource(client, worker_token(self.world.wall), request)
        outbox = Outbox(office, journal, found.story, self._complain)
        self.worker = Worker(office, SETTINGS, source, on_fault=self._complain, outbox=outbox)
        self.worker.adopt(found.story, outbox)
        await self.worker.run()
        await self.keeper.stop()
        await journal.stop()
        self.alive = False
        self.tell("has ended")

    def _complain(self, what: str) -> None:
        if self.alive:
            self.tell(what)

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

    def die(self) -> None:
        """Be killed."""
        self.alive = False
        self.loop.end()
        self.tell("is killed")
        for process in self.site.machine.processes:
            if process.ours is not None and self in process.ours.holders:
                process.ours.let_go(self)
                process.ours.news = lambda: None
        self.keeper.die()


class Site:
    """A machine with a worker on it: what outlives the worker."""

    def __init__(self, world: World, number: int, machine: keeper.Machine, network: Network) -> None:
        self.world = world
        self.number = number
        self.name = f"worker {number}"
        self.machine = machine
        self.network = network
        self.disk = Disk(world, self.name)
        self.lives = 0
        self.supervisor: Supervisor | None = None

    def start(self) -> None:
        """Start a supervisor, unless one runs."""
        if self.supervisor is None or not self.supervisor.alive:
            self.lives += 1
            self.disk.failed = False
            name = self.name if self.lives == 1 else f"{self.name} (life {self.lives})"
            self.supervisor = Supervisor(self.world, name, self)

    def kill(self, *, power: bool = False) -> None:
        """Kill the supervisor."""
        if self.supervisor is not None and self.supervisor.alive:
            self.supervisor.die()
            self.disk.cut(power=power)

    def kill_keeper(self) -> None:
        """Kill the keeper that serves."""
        supervisor = self.supervisor
        if supervisor is not None and supervisor.alive and supervisor.keeper.keeper.alive:
            supervisor.keeper.keeper.end()
            supervisor.keeper.keeper.tell("is killed")
