"""Deadlines, enforced from outside the child: a child that hangs cannot watch its own clock.

**Theory.** What happens to an attempt sets, clears or keeps each deadline: `RULES` is that grid, every cell filled.
`Deadlines` holds the moments of one attempt and says which comes next; a time-out is then an event like any other.

- `boot`: from the greeting to its first frame, or to its having read the greeting.
- `execution`: from the greeting to the task's word. The task may set it itself (`SetExecutionTimeout`).
- `progress`: from the greeting to the first sign of life of the task's own code, and from one to the next. Only for
  tasks that asked for it. Not from its first question: a task that hangs may never ask one.
- `overtime`: from the task's accepted word, any of them, or from its hanging up, to the exit. Whoever deferred or asked
  for a later moment has given its slot back, and may not hang on in it.
- `patience`: from a rung of the stop ladder to the next.
- `beat`, `lease`: when to say that we live, and when to believe that the server thinks we do not.
"""

import math
from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct


class Deadline(StrEnum):
    """What may come due."""

    BOOT = "boot"
    EXECUTION = "execution"
    PROGRESS = "progress"
    OVERTIME = "overtime"
    PATIENCE = "patience"
    BEAT = "beat"
    LEASE = "lease"


class Moment(StrEnum):
    """What happens to an attempt, as far as deadlines care."""

    SPAWNED = "spawned"
    STARTED = "started"
    HEARD = "heard"
    PROGRESSED = "progressed"
    SPOKE = "spoke"
    TOLD = "told"
    DECLINED = "declined"
    HUNG_UP = "hung up"
    STOPPED = "stopped"
    GONE = "gone"


class Rule(StrEnum):
    """What a moment does to a deadline."""

    SET = "set"
    CLEAR = "clear"
    KEEP = "keep"


class Limits(Struct, frozen=True):
    """How long each may take; None never comes due. `patience`, `beat` and `lease` are set by those who count them."""

    boot_s: float | None = 60.0
    execution_s: float | None = None
    progress_s: float | None = None
    overtime_s: float | None = 20.0


_D = Deadline
_SET, _CLEAR, _KEEP = Rule.SET, Rule.CLEAR, Rule.KEEP


def _row(**rules: Rule) -> dict[Deadline, Rule]:
    return {deadline: rules.get(deadline.value, _KEEP) for deadline in Deadline}


RULES: Mapping[Moment, Mapping[Deadline, Rule]] = {
    # A process that waits for the server's leave cannot be late: it has not been greeted.
    Moment.SPAWNED: _row(),
    Moment.STARTED: _row(boot=_SET, execution=_SET, progress=_SET),
    Moment.HEARD: _row(boot=_CLEAR, progress=_SET),
    Moment.PROGRESSED: _row(progress=_SET),
    Moment.SPOKE: _row(boot=_CLEAR, execution=_CLEAR, progress=_CLEAR),
    # Overtime counts from the server's acceptance: until then it is the server that is slow, and not the child.
    Moment.TOLD: _row(overtime=_SET, beat=_CLEAR, lease=_CLEAR),
    Moment.DECLINED: _row(execution=_SET, progress=_SET),
    Moment.HUNG_UP: _row(boot=_CLEAR, overtime=_SET),
    Moment.STOPPED: _row(boot=_CLEAR, execution=_CLEAR, progress=_CLEAR, overtime=_CLEAR),
    Moment.GONE: dict.fromkeys(Deadline, _CLEAR),
}
"""Written with what changes; every cell that is not named keeps, and the test counts them all."""


class Deadlines:
    """The moments of one attempt."""

    def __init__(self, limits: Limits) -> None:
        self.spans: dict[Deadline, float | None] = {
            _D.BOOT: limits.boot_s,
            _D.EXECUTION: limits.execution_s,
            _D.PROGRESS: limits.progress_s,
            _D.OVERTIME: limits.overtime_s,
        }
        self.at: dict[Deadline, float] = {}

    def apply(self, moment: Moment, now: float) -> None:
        """Set and clear by the rules."""
        for deadline, rule in _CHANGES[moment]:
            span = self.spans.get(deadline)
            if rule is Rule.CLEAR or span is None:
                self.at.pop(deadline, None)
            else:
                self.at[deadline] = now + span

    def limit(self, deadline: Deadline, span_s: float) -> None:
        """Change how long one may take, from its next setting on."""
        self.spans[deadline] = span_s

    def span(self, deadline: Deadline) -> float | None:
        """Say how long one may take."""
        return self.spans.get(deadline)

    def set(self, deadline: Deadline, at: float) -> None:
        """Set one to a moment of its own."""
        self.at[deadline] = at

    def clear(self, deadline: Deadline) -> None:
        """Take one away."""
        self.at.pop(deadline, None)

    def passed(self, deadline: Deadline, now: float) -> bool:
        """Say whether one came due."""
        return self.at.get(deadline, math.inf) <= now

    def next(self) -> float | None:
        """Say when the next one comes due."""
        return min(self.at.values(), default=None)

    def due(self, now: float) -> list[Deadline]:
        """Give what came due, the earliest first, and take it away."""
        found = sorted((at, deadline) for deadline, at in self.at.items() if at <= now)
        for _, deadline in found:
            del self.at[deadline]
        return [deadline for _, deadline in found]


_CHANGES: dict[Moment, tuple[tuple[Deadline, Rule], ...]] = {
    moment: tuple((deadline, rule) for deadline, rule in row.items() if rule is not Rule.KEEP)
    for moment, row in RULES.items()
}
