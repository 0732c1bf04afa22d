"""What happens to an attempt, what is to be done about it, and what differs between attempts. Values only."""

from msgspec import Struct

from protocol.messages.checkpoints import StopReason
from protocol.states import TaskInstanceState
from supervisor.deadlines import Limits
from supervisor.machines import Do
from supervisor.outcome import Exit
from supervisor.stopping import Graces
from supervisor.tenure import Outage


class Event(Struct, frozen=True, gc=False):
    """Something happened."""


class Begun(Event, frozen=True):
    """There is an attempt to make."""


class Spawned(Event, frozen=True):
    """The process exists."""


class Unspawned(Event, frozen=True):
    """It could not be started."""


class Granted(Event, frozen=True):
    """The server lets it run, for so long without a heartbeat."""

    lease_s: float
    retries_left: bool
    sent: float | None = None
    """When the question left that was answered so; None: now."""


class Refused(Event, frozen=True):
    """The server does not let it start."""


class Heard(Event, frozen=True):
    """The child showed that it is up: it sent a frame, or has read its greeting."""


class Progressed(Event, frozen=True):
    """A sign of life from the task's own code."""


class Limited(Event, frozen=True):
    """The task set its own execution timeout, from now on."""

    seconds: float


class Saved(Event, frozen=True):
    """There is a checkpoint on record to resume from."""


class Spoke(Event, frozen=True):
    """The task said how it ended."""

    state: TaskInstanceState


class Accepted(Event, frozen=True):
    """The server took the task's word, or our verdict."""


class Declined(Event, frozen=True):
    """The server understood it and cannot take it."""

    final: bool = False
    """Nor anything else: it does not take our token any more. The word stands, and is told by nobody."""


class Fenced(Event, frozen=True):
    """The server, told of the end, said that this attempt is none of its own any more."""


class BeatTaken(Event, frozen=True):
    """A heartbeat was answered well."""

    sent: float | None = None
    """When it left; None: now. The lease is counted from there."""


class BeatRefused(Event, frozen=True):
    """A heartbeat was answered by: this attempt must not run."""

    reason: StopReason = StopReason.FENCED


class BeatLost(Event, frozen=True):
    """A heartbeat was not answered, or by words that say nothing about the attempt."""


class StopAsked(Event, frozen=True):
    """It is to stop. `grace_s` is what the stop leaves it, where it knows: less than the settings would, or more."""

    reason: StopReason
    grace_s: float | None = None


class Broke(Event, frozen=True):
    """What the child sends cannot be understood any more."""


class HungUp(Event, frozen=True):
    """The child closed its end of the frames. It may still live, but it can say nothing more."""


class Exited(Event, frozen=True):
    """The process ended."""

    exit: Exit


class Tick(Event, frozen=True):
    """Time has passed."""


class Action(Struct, frozen=True, gc=False):
    """What to do; for `SIGNAL`, with which signal."""

    do: Do
    signal: int = 0


class Policy(Struct, frozen=True):
    """What differs between attempts: data, read once."""

    limits: Limits = Limits()
    graces: Graces = Graces()
    grace_s: float | None = None
    outage: Outage = Outage()
    heartbeat_s: float = 10.0
    talks: bool = True
    """Whether its runtime speaks frames. One that does not is up as soon as it may run."""
    zero_is_success: bool = False
