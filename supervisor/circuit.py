"""One circuit for all calls to an API: closed while somebody answers, open when nobody does.

**Theory.** When a server is away, every attempt of a worker finds that out, and each would go on asking for itself:
thousands of connects a second against a machine that is trying to get up. So what one call has learned counts for all.
After a few faults in a row, with no answer in between, the circuit *opens*: whoever wants to call waits in line. After
a pause, which grows and is jittered, it is *half open*: one of those who wait goes, as the probe. It fails, and there
is another pause; it is answered (a refusal is an answer), and the circuit is closed: all others go as well, spread over
a little time. A probe of which nothing is heard holds nobody up: when the longest pause has passed another one goes.

A single lost call opens nothing. Faults of calls that were under way when it opened say nothing new; the answer to one
of them does.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from supervisor.heartbeat import chance


class State(StrEnum):
    """Whether calls may be made."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


class Event(StrEnum):
    """What is learned of the API."""

    ANSWERED = "answered"
    FAULT = "fault"
    FAULTS = "too many faults"
    PROBE_FAILED = "probe failed"
    DUE = "due"
    """The pause is over, and somebody waits."""


class Step(StrEnum):
    """What follows from it besides the state."""

    NOTHING = "nothing"
    PAUSE = "pause"
    PROBE = "probe"
    RELEASE = "release"


_S, _E, _D = State, Event, Step

TABLE: Mapping[State, Mapping[Event, tuple[State, Step]]] = {
    _S.CLOSED: {
        _E.ANSWERED: (_S.CLOSED, _D.NOTHING),
        _E.FAULT: (_S.CLOSED, _D.NOTHING),
        _E.FAULTS: (_S.OPEN, _D.PAUSE),
        _E.PROBE_FAILED: (_S.CLOSED, _D.NOTHING),  # another call was answered in the meantime
        _E.DUE: (_S.CLOSED, _D.NOTHING),
    },
    _S.OPEN: {
        _E.ANSWERED: (_S.CLOSED, _D.RELEASE),
        _E.FAULT: (_S.OPEN, _D.NOTHING),
        _E.FAULTS: (_S.OPEN, _D.NOTHING),
        _E.PROBE_FAILED: (_S.OPEN, _D.NOTHING),
        _E.DUE: (_S.HALF_OPEN, _D.PROBE),
    },
    _S.HALF_OPEN: {
        _E.ANSWERED: (_S.CLOSED, _D.RELEASE),
        _E.FAULT: (_S.HALF_OPEN, _D.NOTHING),
        _E.FAULTS: (_S.HALF_OPEN, _D.NOTHING),
        _E.PROBE_FAILED: (_S.OPEN, _D.PAUSE),
        _E.DUE: (_S.HALF_OPEN, _D.PROBE),  # nothing was heard of the one before
    },
}


class CircuitPolicy(Struct, frozen=True):
    """How patient it is."""

    faults: int = 5
    """In a row, by whomever: then it opens."""
    first_s: float = 0.25
    longest_s: float = 3.0
    each_s: float = 0.005
    spread_s: float = 2.0
    """Whoever waited goes within so long, at most; where few wait, within `each_s` for each of them."""


SETTLED = 4
"""Of the longest pause: after so long without one, the next outage is a new one."""


class Circuit:
    """The state. Time is an argument."""

    def __init__(self, seed: bytes, policy: CircuitPolicy | None = None) -> None:
        self.state = State.CLOSED
        self.until = 0.0
        """When the next probe may go, while it is not closed."""
        self._policy = policy or CircuitPolicy()
        self._seed = seed
        self._faults = 0
        self._pauses = 0
        self._chances = 0
        self._opened_at = 0.0

    def failed(self, now: float, *, probe: bool) -> None:
        """Learn that a call was not answered."""
        self._faults += 1
        fault = Event.FAULTS if self._faults >= self._policy.faults else Event.FAULT
        self._step(Event.PROBE_FAILED if probe else fault, now)

    def answered(self, now: float) -> bool:
        """Learn that one was: whether those who wait may go."""
        self._faults = 0
        return self._step(Event.ANSWERED, now) is Step.RELEASE

    def due(self, now: float) -> bool:
        """Say whether one of those who wait may go, as the probe."""
        return now >= self.until and self._step(Event.DUE, now) is Step.PROBE

    def unused(self, now: float) -> None:
        """Learn that who was to be the probe never asked: another one may at once."""
        if self.state is State.HALF_OPEN:
            self.until = now

    def spread(self, waiting: int) -> list[float]:
        """Give for each of those who wait how long it still does when all may go."""
        within_s = min(waiting * self._policy.each_s, self._policy.spread_s)
        return [within_s * self._chance() for _ in range(waiting)]

    def _step(self, event: Event, now: float) -> Step:
        self.state, step = TABLE[self.state][event]
        if step is Step.PAUSE:
            self.until = now + self._pause(now)
        elif step is Step.PROBE:
            self.until = now + self._policy.longest_s
        return step

    def _pause(self, now: float) -> float:
        """Grow from pause to pause; go on growing where it was closed for a moment only."""
        if now - self._opened_at > SETTLED * self._policy.longest_s:
            self._pauses = 0
        self._opened_at = now
        grown = min(self._policy.first_s * 2.0 ** min(self._pauses, 16), self._policy.longest_s)
        self._pauses += 1
        return grown * (0.5 + 0.5 * self._chance())

    def _chance(self) -> float:
        self._chances += 1
        return chance(self._seed, self._chances)
