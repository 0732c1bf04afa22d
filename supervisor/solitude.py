"""What a keeper does that its supervisor has left: nothing, as long as it may, and then the least. Core.

**Theory.** A keeper serves a supervisor. When that ends without having retired it, the children go on, and the keeper
waits for the next supervisor (`ALONE`). Each child has a tenure, which its supervisor noted on its slate with each
heartbeat that the server took: when to begin to stop, and when to be gone, because after that the server may start
another attempt. So a keeper that is alone asks each child to end (SIGTERM, and it can save what it has) at the first of
these moments, and kills it at the second. A child of which nothing was noted was not yet allowed to run: it gets the
keeper's own grace, twice.

A supervisor may also be there and do nothing: it was stopped (SIGSTOP), or hangs. So while a keeper serves, it kills
whoever is past the second moment, and asks nobody before it.

A keeper that nobody can find (it has no door: `worker exec`), or that is told to end, stops all its children at once
(`LEAVING`): SIGTERM, the grace or what the tenure leaves of it, SIGKILL. What ended while it was alone is kept for
the next supervisor until `LINGER_S` after the last tenure; then the server has given those attempts up, and the
keeper ends.
"""

import math
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

TERM = 15
KILL = 9
AGAIN_S = 1.0
LOOK_S = 1.0
"""How often a keeper that serves looks at the tenures: they are renewed on the slates, and nobody tells it."""
LINGER_S = 60.0


class State(StrEnum):
    """Whose keeper it is."""

    SERVING = "serving"
    ALONE = "alone"
    LEAVING = "leaving"


class Event(StrEnum):
    """What happens to it."""

    LOST = "lost"
    """The supervisor is gone, and there is a door for another."""
    DESERTED = "deserted"
    """It is gone, and there is none."""
    CAME = "came"
    """Another one is at the door."""
    TOLD = "told"
    """Somebody wants it to end: SIGTERM."""


_S, _E = State, Event
TABLE: Mapping[State, Mapping[Event, State]] = {
    _S.SERVING: {
        _E.LOST: _S.ALONE,
        _E.DESERTED: _S.LEAVING,
        _E.CAME: _S.SERVING,  # cannot be: the door is looked at by one who is alone
        _E.TOLD: _S.LEAVING,
    },
    _S.ALONE: {
        _E.LOST: _S.ALONE,
        _E.DESERTED: _S.LEAVING,
        _E.CAME: _S.SERVING,
        _E.TOLD: _S.LEAVING,
    },
    # Children that are being stopped are adopted too: somebody has to tell of their end. The stop goes on.
    _S.LEAVING: dict.fromkeys(Event, _S.LEAVING),
}

Tenure = tuple[float, float] | None
"""When to begin to stop, and when to be gone."""


class Order(NamedTuple):
    """Send this signal to this attempt."""

    attempt: str
    signal: int


class Solitude:
    """The state, and whom it has signalled."""

    def __init__(self, grace_s: float) -> None:
        self.state = State.SERVING
        self._grace_s = grace_s
        self._since = 0.0
        self._asked: dict[str, float] = {}
        """Who was asked to end, and when to kill him."""
        self._linger = 0.0
        self._look = 0.0

    def handle(self, event: Event, now: float) -> None:
        """Take an event."""
        before, self.state = self.state, TABLE[self.state][event]
        if self.state is not before:
            self._asked.clear()
            self._since = now

    def orders(self, children: Iterable[tuple[str, Tenure]], now: float) -> tuple[list[Order], float | None]:
        """Say whom to signal now, and when to ask again."""
        if self.state is State.SERVING:
            return self._overdue(children, now)
        found: list[Order] = []
        moments: list[float] = []
        for attempt, tenure in children:
            begin, gone_by = self._span(tenure)
            self._linger = max(self._linger, gone_by)
            if attempt not in self._asked and now >= begin:
                self._asked[attempt] = gone_by
                found.append(Order(attempt, TERM))
            elif attempt in self._asked and now >= self._asked[attempt]:
                self._asked[attempt] = now + AGAIN_S
                found.append(Order(attempt, KILL))
            moments.append(self._asked.get(attempt, begin))
        return found, min(moments, default=None)

    def lingers_until(self) -> float:
        """Say until when to keep, for a supervisor that may come, what has ended."""
        return max(self._linger, self._since) + LINGER_S

    def _overdue(self, children: Iterable[tuple[str, Tenure]], now: float) -> tuple[list[Order], float | None]:
        """Kill whoever is past its tenure: its supervisor would have, if it were not stopped itself or hung."""
        if now < self._look:
            return [], self._look
        spans = [(attempt, math.inf if tenure is None else tenure[1]) for attempt, tenure in children]
        self._look = min([now + LOOK_S, *(gone_by for _, gone_by in spans if gone_by > now)]) if spans else now
        return [Order(attempt, KILL) for attempt, gone_by in spans if gone_by <= now], self._look if spans else None

    def _span(self, tenure: Tenure) -> tuple[float, float]:
        if self.state is State.LEAVING:
            gone_by = self._since + self._grace_s
            return self._since, gone_by if tenure is None else min(gone_by, tenure[1])
        if tenure is None:
            return self._since + self._grace_s, self._since + 2 * self._grace_s
        return tenure
