"""What a supervisor leaves of an attempt for the one that adopts it, and what that one makes of it. Core.

**Theory.** The child runs on, its keeper holds its channels, and on its slate (`slate`) stand two things: the *facts*,
which do not change, and the *memory*, which is all that the lifecycle knows. It is written before what follows from it
is done. So whoever reads it knows at least as much as was done, and does again what may have been left undone:

- A word that was on its way to the server is forgotten. Its question is on the slate, unanswered, and is asked again by
  itself; what was written into the journal then is told with the same bytes.
- A child of which nobody heard that it exists is heard of now.
- A child that was allowed to run and not greeted is not allowed yet: the server is asked again, and answers the same.
- A heartbeat that was under way is sent again at once, or there would be no other.
- The end of a process is never remembered: the keeper tells it again.

Every moment is one of the monotonic clock, which is the machine's and not the process's: deadlines go on.
"""

from enum import StrEnum

import msgspec
from msgspec import Struct, field

from protocol.messages.checkpoints import StopReason
from protocol.states import TaskInstanceState
from supervisor.deadlines import Deadline
from supervisor.events import Policy
from supervisor.explaining import Overdue
from supervisor.journal import Entry
from supervisor.lifecycle import Lifecycle
from supervisor.machines import Child, Lease, Report
from supervisor.outcome import Cause, Server
from supervisor.runtimes import Runtime
from supervisor.stopping import Stop
from supervisor.tenure import Tenure, manner_of

FOREVER = float("inf")
_OVER = frozenset({Report.TOLD, Report.CLOSED})


class Facts(Struct, frozen=True):
    """What does not change."""

    workload: bytes
    """As it was given, in JSON."""
    runtime: Runtime
    policy: Policy
    log: str
    checkpoints: str | None
    began: float
    pid: int
    """Which process the server is told of where that is not the child: it takes heartbeats of no other."""
    inputs: str | None = None
    """What the checkpoints of a program without frames are made by."""


class Memory(Struct, frozen=True, omit_defaults=True):
    """What changes."""

    child: Child
    report: Report
    lease: Lease
    cause: Cause = Cause.NONE
    reason: StopReason | None = None
    overdue: Overdue | None = None
    stop: Stop | None = None
    said: TaskInstanceState | None = None
    checkpoint: bool = False
    retries_left: bool = False
    server: Server = Server.WILLING
    looked: bool = False
    lease_s: float = 0.0
    beats: int = 0
    tenure: Tenure | None = None
    spans: dict[Deadline, float | None] = field(default_factory=dict)
    at: dict[Deadline, float] = field(default_factory=dict)


_facts = msgspec.msgpack.Decoder(Facts)
_memory = msgspec.msgpack.Decoder(Memory)
_encode = msgspec.msgpack.Encoder().encode


def inscription(facts: Facts) -> bytes:
    """Give the facts as they are written down."""
    return _encode(facts)


def remembered(core: Lifecycle) -> bytes:
    """Give what the core knows, as it is written down."""
    hold = core.leasehold
    return _encode(
        Memory(
            child=core.child,
            report=core.report,
            lease=core.lease,
            cause=core.cause,
            reason=core.reason,
            overdue=core.overdue,
            stop=core.stop,
            said=core.said,
            checkpoint=core.checkpoint,
            retries_left=core.retries_left,
            server=core.server,
            looked=core.looked,
            lease_s=hold.lease_s,
            beats=hold.beats,
            tenure=hold.now,
            spans=core.deadlines.spans,
            at=core.deadlines.at,
        )
    )


def alone_until(core: Lifecycle) -> tuple[float, float] | None:
    """Say when a keeper that is alone is to begin to stop the child, and when to kill it; None before it may run."""
    tenure = core.leasehold.now
    if tenure is None:
        return None
    if manner_of(core.policy.outage) is None:  # `keep`: its author said that it may run twice
        return FOREVER, FOREVER
    return tenure.begin, tenure.gone_by


class Left(Struct, frozen=True):
    """What was found of one attempt."""

    facts: Facts
    memory: Memory
    greeted: bool


def read(facts: bytes, memory: bytes, *, greeted: bool) -> Left | None:
    """Read a slate; None where it says too little to go on with."""
    try:
        return Left(_facts.decode(facts), _memory.decode(memory), greeted)
    except msgspec.MsgspecError:
        return None


class Fate(StrEnum):
    """What becomes of a child that a keeper holds."""

    ADOPT = "adopt"
    FORGET = "forget"
    """Its outcome is in the journal, and is told from there."""
    END = "end"
    """Nobody knows what it is: it is killed."""


def is_worth_remembering(core: Lifecycle) -> bool:
    """Whether the core is noted. The end of a process is not, until there is nothing more to tell of it."""
    return not core.gone or core.report in _OVER


def fate(left: Left | None, entry: Entry | None) -> Fate:
    """Decide. An outcome that is our own verdict was written down after the end: nothing is left to watch.

    Nor is there of one that had ended and of which everything was told: who adopted it would tell something else.
    """
    if entry is not None and entry.owed is not None and entry.owed.row:
        return Fate.FORGET
    if left is not None and left.memory.child is Child.GONE and left.memory.report in _OVER:
        return Fate.FORGET
    return Fate.END if left is None else Fate.ADOPT


def recall(left: Left, seed: bytes) -> Lifecycle:
    """Give the core as it was, less what has to be done again."""
    memory = left.memory
    core = Lifecycle(left.facts.policy, seed)
    for name in ("child", "report", "lease", "cause", "reason", "overdue", "stop", "said", "checkpoint"):
        setattr(core, name, getattr(memory, name))
    core.retries_left, core.server, core.looked = memory.retries_left, memory.server, memory.looked
    core.leasehold.lease_s, core.leasehold.beats, core.leasehold.now = memory.lease_s, memory.beats, memory.tenure
    core.deadlines.spans.update(memory.spans)
    core.deadlines.at.update(memory.at)
    if core.report is Report.TELLING:
        core.report, core.said = Report.QUIET, None
        core.child = Child.WORKING if core.child is Child.SPOKEN else core.child
    if left.facts.policy.talks and not left.greeted and core.lease is Lease.HELD and core.child is Child.BOOTING:
        core.lease, core.child = Lease.ASKED, Child.WAITING
    if core.lease in {Lease.HELD, Lease.EXPIRED}:
        core.deadlines.at.setdefault(Deadline.BEAT, 0.0)
    return core
