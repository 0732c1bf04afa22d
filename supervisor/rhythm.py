"""How long a task takes to come to its next checkpoint: learned from its saves and its stops. Core.

**Theory.** A stop is of use only if the task reaches a save within the grace. The longest time from one save to the
next, and from a stop to the end it led to, say how long that takes; the longest, because the one that did not fit is
the one that is lost. A worker keeps it by task, over restarts, and asks so early that it fits; where it cannot, it says
so.
"""

from collections.abc import Mapping
from typing import Protocol

MARGIN = 1.5
"""By how much the next one may take longer than the longest so far."""
KEPT = 1000
"""The tasks that are remembered."""


class Named(Protocol):
    """A task instance, as far as its name goes."""

    @property
    def dag_id(self) -> str:
        """The flow."""

    @property
    def task_id(self) -> str:
        """The task."""


class Rhythm:
    """One attempt's."""

    def __init__(self, who: Named, now: float) -> None:
        self.task = f"{who.dag_id}/{who.task_id}"
        self.saves = 0
        self.longest: float | None = None
        self._last = now
        self._asked: float | None = None

    def saved(self, now: float) -> None:
        """It saved. The first interval has the start of the task in it, and says less than the others."""
        if self.saves:
            self._took(now - self._last)
        self.saves += 1
        self._last = now

    def asked(self, now: float) -> None:
        """It is asked to stop."""
        if self._asked is None:
            self._asked = now

    def ended(self, now: float) -> None:
        """It is over: what it took from the stop counts when it has used checkpoints."""
        if self._asked is not None and self.saves:
            self._took(now - self._asked)

    @property
    def stopping(self) -> bool:
        """Whether it is asked already."""
        return self._asked is not None

    def since(self, now: float) -> float:
        """Give the seconds of work that would be lost."""
        return now - self._last

    def _took(self, seconds: float) -> None:
        self.longest = max(seconds, self.longest or 0.0)


class Times:
    """What a worker has learned, by task."""

    def __init__(self, known: Mapping[str, float] | None = None) -> None:
        self.known = dict(known or {})

    def learn(self, rhythm: Rhythm) -> None:
        """Take what an attempt has shown. What was long once and is not again is forgotten by and by."""
        if rhythm.longest is not None:
            before = self.known.pop(rhythm.task, 0.0)
            self.known[rhythm.task] = max(rhythm.longest, 0.8 * before)
            while len(self.known) > KEPT:
                del self.known[next(iter(self.known))]

    def needed(self, rhythm: Rhythm) -> float | None:
        """Give how long the next stop may take; None when nothing is known."""
        found = max(self.known.get(rhythm.task, 0.0), rhythm.longest or 0.0)
        return found * MARGIN if found else None


def ask_in(needed_s: float | None, left_s: float, usual_s: float, own_s: float | None = None) -> float:
    """Say in how many seconds to ask for a stop, so that it fits into what is left until the machine ends.

    What is known of the task decides, however much that is: whoever knows the end so early is not bound to the grace of
    a stop that comes as a surprise. What the author grants (`own_s`) bounds it, and where nothing is known, it is that.
    """
    takes = (usual_s if own_s is None else own_s) if needed_s is None else max(needed_s, 1.0)
    return max(0.0, left_s - (takes if own_s is None else min(takes, own_s)))


def shortfall(needed_s: float | None, grace_s: float) -> str | None:
    """Say what does not fit, if it does not."""
    if needed_s is None or needed_s <= grace_s:
        return None
    return f"its checkpoints take {needed_s / MARGIN:.1f} s, and a stop leaves it {grace_s:.1f} s: it may be too late"
