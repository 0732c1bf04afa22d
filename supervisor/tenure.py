"""How long an attempt may go on without a word of the server's: when to begin to stop, and when to be gone.

**Theory.** The server counts a lease from the heartbeat that it took. We count it from the moment at which that
heartbeat *left*, by a clock that nobody can set; so our count ends first, whatever the network did in between. When it
ends the server may start another attempt, and nothing of this one may be left. A stop therefore begins a grace earlier
and its last signal falls a margin before the end: for the kernel, for a busy machine, for clocks that differ.

What an author or an operator may choose is what happens before that (`Outage`): begin to stop after so many seconds of
silence, with little patience or with enough for a checkpoint. Only `keep` goes past the end of the lease: it is for a
task that may run twice, or whose server, when it is away, is away for everybody.

Whoever may be stopped itself (SIGSTOP) cannot keep to that alone, so the moments are noted on the attempt's slate for
its keeper, which kills whom its supervisor did not (`solitude`). This holds for `worker run` and `worker exec` alike.
What differs is a supervisor that is killed: `run` has a successor, so its children go on as long as their tenure
allows; `exec` has none, so its keeper stops the child at once, and is gone with it by the end of the tenure at the
latest.
"""

from typing import Annotated

from msgspec import Meta, Struct

from protocol.flows import OutagePolicy
from supervisor import heartbeat
from supervisor.stopping import CAPTURE_S, Manner

LATEST = 2 / 3
"""Of the lease: a stop never begins earlier than here for the sake of a long grace, because beats may yet be taken."""
MARGIN = 1 / 15
MARGIN_MOST_S = 2.0


class Outage(Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of an attempt whose server is away. As a setting: of all whose author says nothing of it."""

    policy: OutagePolicy = "checkpoint_after"
    """What it does: `checkpoint_after`, `stop_after`, or `keep`, which goes on whatever happens."""
    after_s: Annotated[float, Meta(gt=0)] | None = None
    """Seconds of silence before it does; none: as late as the lease allows, which is also the most."""


class Tenure(Struct, frozen=True):
    """Until when an attempt is ours, as far as we know: moments of the caller's clock."""

    begin: float
    """When to begin to stop."""
    gone_by: float
    """When the last signal has to fall."""
    most_s: float
    """The task's grace."""

    def grace_s(self, now: float) -> float:
        """How long a task may take to end that is told to at this moment."""
        return min(max(self.gone_by - now - CAPTURE_S, 0.0), self.most_s)


def tenure(sent: float, lease_s: float, grace_s: float, outage: Outage) -> Tenure:
    """Count from the heartbeat that was taken: it left at `sent`."""
    gone_by = sent + lease_s - min(lease_s * MARGIN, MARGIN_MOST_S)
    begin = max(gone_by - grace_s, sent + lease_s * LATEST)
    if outage.after_s is not None:
        begin = min(begin, sent + outage.after_s)
    return Tenure(begin, gone_by, grace_s)


class Leasehold:
    """One attempt's: how often it says that it lives, and what each answer is worth."""

    def __init__(self, outage: Outage, grace_s: float, heartbeat_s: float, seed: bytes) -> None:
        self.now: Tenure | None = None
        """By the last word of the server's; None where there was none."""
        self._outage = outage
        self._grace_s = grace_s
        self._heartbeat_s = heartbeat_s
        self._seed = seed
        self.lease_s = 0.0
        self.beats = 0

    def grant(self, lease_s: float) -> None:
        """Learn how long a lease is."""
        self.lease_s = lease_s

    def renew(self, sent: float) -> Tenure:
        """Count anew, from the heartbeat that left then."""
        self.now = tenure(sent, self.lease_s, self._grace_s, self._outage)
        return self.now

    def next_beat(self, now: float, *, answered: bool) -> float:
        """When to beat next."""
        pace = heartbeat.interval if answered else heartbeat.again
        every_s = pace(self.lease_s, self._heartbeat_s, self._outage.after_s)
        self.beats += 1
        return heartbeat.next_beat(now, every_s, self._seed, self.beats - 1)


def manner_of(outage: Outage) -> Manner | None:
    """How to stop at `begin`; None where nothing is stopped."""
    return _MANNERS[outage.policy]


_MANNERS: dict[OutagePolicy, Manner | None] = {
    "keep": None,
    "stop_after": Manner.BRISK,
    "checkpoint_after": Manner.PATIENT,
}
