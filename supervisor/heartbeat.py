"""Heartbeats: when to send one, what its answer means, and when the lease ends that they keep.

**Theory.** The server believes that an attempt runs for the length of its lease after each heartbeat. So a beat goes
out well within it, at a moment of its own (thousands of attempts started together must not beat together), and never
at once after `/run`, which was a beat itself. An answer either keeps the lease, ends the attempt, or says nothing about
it: a proxy's error page, a refused token and a dead network are no word of the server's on this attempt, however their
status codes look.
"""

import zlib
from enum import StrEnum

JITTER = 0.2
SHARE = 1 / 4
"""Of the lease: how far beats are apart at most."""
AGAIN = 1 / 12
"""Of the lease: how soon a beat that was not answered is sent again. Several tries fit before the stop."""
ANSWER = 1 / 6
"""Of the lease: how long a beat waits for its answer. One that hangs must not use up the time of those after it."""
SOONEST_S = 0.05


class Word(StrEnum):
    """What an answer to a heartbeat says."""

    LIVES = "lives"
    REFUSED = "refused"
    """The server said it: this attempt is not to run."""
    NOTHING = "nothing"


REFUSALS = frozenset({404, 409, 410})


def meaning(status: int | None, *, understood: bool) -> Word:
    """Read an answer: its status (None: there was none), and whether its body was one of this API's."""
    if status is None:
        return Word.NOTHING
    if status in REFUSALS and understood:
        return Word.REFUSED
    return Word.LIVES if 200 <= status < 300 else Word.NOTHING  # noqa: PLR2004 - what HTTP calls a success


def interval(lease_s: float, wished_s: float, after_s: float | None = None) -> float:
    """How long from one beat to the next, before jitter. Who stops after a short silence has to be heard often."""
    return max(min(_span(lease_s, after_s) * SHARE, wished_s), SOONEST_S)


def again(lease_s: float, wished_s: float, after_s: float | None = None) -> float:
    """How long from a beat that was not answered to the next one, before jitter."""
    return max(min(_span(lease_s, after_s) * AGAIN, wished_s), SOONEST_S)


def answer_within(lease_s: float, usual_s: float) -> float:
    """How long to wait for the answer to a beat."""
    return max(min(lease_s * ANSWER, usual_s), SOONEST_S)


def _span(lease_s: float, after_s: float | None) -> float:
    return lease_s if after_s is None else min(lease_s, after_s)


def chance(seed: bytes, number: int) -> float:
    """A number in [0, 1) that differs from attempt to attempt and from beat to beat, and needs no source of chance."""
    return zlib.crc32(number.to_bytes(8, "big"), zlib.crc32(seed)) / 2**32


def next_beat(now: float, every_s: float, seed: bytes, number: int) -> float:
    """When to beat next: jittered, and the first one anywhere in its interval, to spread what started together."""
    if number == 0:
        return now + every_s * (0.5 + 0.5 * chance(seed, number))
    return now + every_s * (1 - JITTER + 2 * JITTER * chance(seed, number))
