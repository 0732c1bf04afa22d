"""How an attempt is stopped: a ladder of signals, as data.

**Theory.** A ladder is a row of rungs; each sends its signal, waits its patience, and gives way to the next. `CAPTURE`
is a rung too: the stacks of the child are written into its log, because once it is killed nobody can ask it where it
hung. The last rung is repeated: a process that survives SIGKILL sits in the kernel, and may yet come out.

Patience is nested: the task has less than the worker, and the worker less than the machine (`Graces`), so that each
still has time to tell how the inner one ended. A ladder is made for one stop, from the reason's template and from what
is left until the deadline; a second, more urgent stop only shortens what is under way, it never starts anew.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from protocol.messages.checkpoints import StopReason

CAPTURE = 0
TERM = 15
KILL = 9

CAPTURE_S = 0.15
"""A dump of all threads takes a signal and a write: a few milliseconds, and some more on a busy machine."""
KILL_S = 5.0


class Rung(Struct, frozen=True):
    """A signal (or `CAPTURE`), and how long to wait after it."""

    signal: int
    patience_s: float


Seconds = Annotated[float, Meta(ge=0)]


class Graces(Struct, frozen=True):
    """The nested graces: how long the machine leaves us, and what is kept back at each level for telling."""

    pod_s: Seconds = 30.0
    """How long the machine leaves the worker between SIGTERM and SIGKILL."""
    worker_margin_s: Seconds = 3.0
    """What the worker keeps of it for telling."""
    task_margin_s: Seconds = 2.0
    """What it keeps of the rest, between the end of the last task and its own."""
    short_s: Seconds = 5.0
    """For a stop that nobody gains from waiting for: a time-out, a fence, a kill."""

    @property
    def worker_s(self) -> float:
        """How long the worker may take from SIGTERM to its own exit."""
        return max(self.pod_s - self.worker_margin_s, 0.0)

    @property
    def task_s(self) -> float:
        """How long a task may take from SIGTERM to its exit."""
        return max(self.worker_s - self.task_margin_s, 0.0)


class Manner(StrEnum):
    """The templates."""

    PATIENT = "patient"
    """Let it save its work: SIGTERM and the task's whole grace; stacks only if that was not enough."""
    SHORT = "short"
    """It hangs or must not run: stacks first, as it is now, then SIGTERM with a short grace."""
    BRISK = "brisk"
    """It is only to go, and where it stands interests nobody."""
    AT_ONCE = "at once"
    """SIGKILL."""


MANNERS: Mapping[StopReason, Manner] = {
    StopReason.DRAIN: Manner.PATIENT,
    StopReason.EVICT: Manner.PATIENT,
    StopReason.DEPLOY: Manner.PATIENT,
    StopReason.MEMORY_PRESSURE: Manner.PATIENT,
    StopReason.USER_KILL: Manner.BRISK,
    StopReason.FENCED: Manner.BRISK,
    StopReason.TIMEOUT: Manner.SHORT,
}


class Stop(Struct, frozen=True):
    """A stop under way: the rungs still to climb after the one that was taken, and until when that one waits."""

    rungs: tuple[Rung, ...]
    signal: int
    until: float
    deadline: float


def granted(graces: Graces, own_s: float | None, left_s: float | None) -> float:
    """Say how long a task may take: what the stop leaves it, where it knows (`left_s`), else the nested grace.

    A stop that was announced may leave more than the nested grace. The author (`own_s`) may only want less.
    """
    most_s = graces.task_s if left_s is None else left_s
    return most_s if own_s is None else min(own_s, most_s)


def rungs_of(
    manner: Manner, graces: Graces, own_s: float | None = None, left_s: float | None = None
) -> tuple[Rung, ...]:
    """Give a manner's ladder, within what is granted."""
    capture, kill = Rung(CAPTURE, CAPTURE_S), Rung(KILL, KILL_S)
    task_s = granted(graces, own_s, left_s)
    short_s = min(graces.short_s, task_s)
    ladders: dict[Manner, tuple[Rung, ...]] = {
        Manner.PATIENT: (Rung(TERM, task_s), capture, kill),
        Manner.SHORT: (capture, Rung(TERM, short_s), kill),
        Manner.BRISK: (Rung(TERM, short_s), kill),
        Manner.AT_ONCE: (kill,),
    }
    return ladders[manner]


def begin(rungs: tuple[Rung, ...], now: float) -> Stop:
    """Take the first rung. The deadline is where the last one begins: until then the attempt may still run."""
    first, *rest = rungs
    deadline = now + sum(rung.patience_s for rung in rungs[:-1])
    return Stop(tuple(rest), first.signal, now + first.patience_s, deadline)


def climb(stop: Stop, now: float) -> Stop:
    """Take the next rung, or the last one again."""
    if not stop.rungs:
        return replace(stop, until=now + KILL_S)
    first, *rest = stop.rungs
    return replace(stop, rungs=tuple(rest), signal=first.signal, until=now + first.patience_s)


def hasten(stop: Stop, now: float, patience_s: float) -> Stop:
    """Shorten the patience of the rung that waits. It is never lengthened, and no rung is left out."""
    until = min(stop.until, now + patience_s)
    return replace(stop, until=until, deadline=min(stop.deadline, until))
