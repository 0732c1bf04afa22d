"""What a seed means: tasks, what their children do at each try, and what goes wrong when."""

from collections.abc import Callable
from random import Random

from msgspec import Struct, field, structs

from protocol.flows import OutagePolicy, TaskSpec, TriggerRule
from supervisor.sections import JournalSettings, LimitSettings
from supervisor.settings import Settings
from tests.simulation.children import Manner
from tests.simulation.network import Fate, Weather
from tests.simulation.supervising import SETTINGS
from tests.simulation.watch import TIMEOUT_S

FAULTS_S = 25.0
"""Nothing goes wrong later than this."""
ENDS = (
    "success",
    "success",
    "success",
    "failed",
    "skipped",
    "up_for_retry",
    "up_for_retry",
    "up_for_reschedule",
    "up_for_reschedule",
)
SILENT = ("exit 0", "exit 1", "exit 5", "signal", "hang")
CODES = ("exit 0", "exit 0", "exit 0", "exit 1", "exit 75", "exit 85", "exit 99", "signal", "hang")
PLAIN = "plain"
OUTAGES: tuple[OutagePolicy, ...] = ("checkpoint_after", "checkpoint_after", "stop_after", "keep")


class Blow(Struct, frozen=True):
    """Something that goes wrong: what, to which worker, and when: at a moment, a step of the world, or a point."""

    what: str
    at_s: float | None = None
    at_step: int | None = None
    at_point: int | None = None
    """The so manieth of those points in the code where a test may have it die."""
    which: int = 0
    lasts_s: float = 0.0


class Plan(Struct):
    """One history before it is played."""

    tasks: list[TaskSpec]
    manners: dict[str, list[Manner]]
    outage: dict[str, str]
    weather: Weather
    blows: list[Blow] = field(default_factory=list)
    workers: int = 1
    settings: list[Settings] = []
    """What each life of a supervisor is given, one after the other; none: always the same."""

    @property
    def disk_fails(self) -> bool:
        """Whether a worker's disk is full at some time: it costs durability, and so the promise of the same bytes."""
        return any(blow.what == "disk" for blow in self.blows)

    def manner(self, task: str, count: int) -> Manner:
        """Say what the process does that is a task's so manieth."""
        manners = self.manners[task]
        return manners[min(count, len(manners) - 1)]


def drawn(random: Random) -> Plan:
    """Draw a history."""
    plan = Plan([], {}, {}, Weather({}, 0.0, []), workers=1 + (random.random() < 0.3))
    for number in range(1 + (random.random() < 0.5) + (random.random() < 0.2)):
        _task(random, plan, f"task{number}")
    kinds = random.sample(KINDS, k=random.choice((0, 1, 1, 2, 2, 3)))
    for kind in kinds:
        kind(random, plan)
    return plan


def _task(random: Random, plan: Plan, name: str) -> None:
    plain = random.random() < 0.25
    outage = random.choice(OUTAGES)
    upstreams = [plan.tasks[-1].task_id] if plan.tasks and random.random() < 0.3 else []
    plan.tasks.append(
        TaskSpec(
            task_id=name,
            upstreams=upstreams,
            trigger_rule=TriggerRule.ALL_DONE if random.random() < 0.7 else TriggerRule.ALL_SUCCESS,
            retries=random.choice((0, 1, 1, 2)),
            retry_delay_s=random.choice((0.0, 1.0)),
            runtime=PLAIN if plain else None,
            command=["program"] if plain else None,
            timeout_s=TIMEOUT_S,
            grace_s=random.choice((None, 1.0)),
            outage=outage,
            outage_after_s=None if outage == "keep" else random.choice((None, None, 3.0)),
            resume_limit=2,
        )
    )
    plan.outage[name] = outage
    saves = random.random() < 0.6
    tries = [_manner(random, plain=plain, saves=saves) for _ in range(random.choice((1, 2, 3)))]
    last = Manner(random.uniform(0.0, 4.0), steps=2, saves=saves, ends="exit 0" if plain else "success")
    plan.manners[name] = [*tries, last]


def _manner(random: Random, *, plain: bool, saves: bool) -> Manner:
    ends = random.choice(CODES if plain else (ENDS if random.random() < 0.85 else SILENT))
    return Manner(
        work_s=random.choice((0.0, random.uniform(0.0, 2.0), random.uniform(1.0, 8.0), random.uniform(2.0, 25.0))),
        steps=random.randint(1, 4),
        saves=saves,
        ends=ends,
        lingers_s=random.choice((0.0, 0.0, 0.5, 5.0)),
        deaf=random.random() < 0.2,
        slips=random.random() < 0.1,
        on_stop="checkpoint" if saves and random.random() < 0.7 else "die",
    )


def _weather(random: Random, plan: Plan) -> None:
    fates = [fate for fate in Fate if fate is not Fate.FINE]
    plan.weather.shares = dict.fromkeys(random.sample(fates, k=random.randint(1, 3)), random.choice((0.05, 0.1, 0.2)))
    plan.weather.until = random.uniform(2.0, FAULTS_S)


def _cut(random: Random, plan: Plan) -> None:
    begin = random.uniform(0.0, 8.0)
    plan.weather.cuts.append((begin, begin + random.choice((2.0, 6.0, 9.0, 16.0))))


def _blows(what: str, most: int = 2, lasts_s: tuple[float, float] = (1.0, 9.0)) -> Callable[[Random, Plan], None]:
    def draw(random: Random, plan: Plan) -> None:
        for _ in range(random.randint(1, most)):
            lasts = random.choice((random.uniform(0.1, 1.0), random.uniform(*lasts_s)))
            which = random.randrange(plan.workers)
            if random.random() < 0.5:
                blow = Blow(what, at_s=random.uniform(0.0, 10.0), which=which, lasts_s=lasts)
            else:
                blow = Blow(what, at_step=random.randint(20, 900), which=which, lasts_s=lasts)
            plan.blows.append(blow)

    return draw


def _point(random: Random, plan: Plan) -> None:
    for _ in range(random.randint(1, 3)):
        lasts = random.choice((random.uniform(0.1, 1.0), random.uniform(1.0, 9.0)))
        plan.blows.append(Blow("point", at_point=random.randint(1, 150), lasts_s=lasts))


def _orphans(random: Random, plan: Plan) -> None:
    """A supervisor dies, its successor adopts, and then the keeper dies that has the children."""
    which, at_s = random.randrange(plan.workers), random.uniform(0.3, 6.0)
    how, lasts = random.choice(("supervisor", "supervisor", "upgrade")), random.uniform(0.1, 1.0)
    plan.blows.append(Blow(how, at_s=at_s, which=which, lasts_s=lasts))
    for _ in range(random.randint(1, 2)):
        plan.blows.append(Blow("keeper", at_s=at_s + 1.0 + random.expovariate(0.5), which=which))


def _settings(random: Random, plan: Plan) -> None:
    """Every life of a supervisor has other settings than the last."""
    plan.settings = [
        structs.replace(
            SETTINGS,
            worker=structs.replace(SETTINGS.worker, slots=random.choice((1, 1, 2, 4))),
            limits=LimitSettings(
                boot_s=random.choice((2.0, 5.0)),
                overtime_s=random.choice((0.5, 2.0, 4.0)),
                heartbeat_s=random.choice((2.0, 10.0)),
            ),
            graces=structs.replace(SETTINGS.graces, pod_s=random.choice((2.0, 4.0))),
            journal=JournalSettings(segment_bytes=random.choice((600, 3000, 100_000))),
        )
        for _ in range(3)
    ]
    _blows(random.choice(("supervisor", "upgrade")))(random, plan)


KINDS: tuple[Callable[[Random, Plan], None], ...] = (
    _weather,
    _weather,
    _cut,
    _blows("supervisor"),
    _blows("supervisor"),
    _point,
    _point,
    _blows("keeper"),
    _blows("server"),
    _blows("server", lasts_s=(8.0, 14.0)),
    _blows("child", most=3),
    _blows("disk"),
    _blows("power", most=1),
    _blows("server's clock", most=1),
    _blows("drain", most=1),
    _blows("clock", most=1),
    _blows("server's disk"),
    _blows("upgrade"),
    _blows("clear"),
    _blows("kill"),
    _orphans,
    _settings,
)
