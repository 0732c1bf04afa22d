"""When an API call is tried again, and what the answer to a repeated call means.

**Theory.** A call fails in one of three ways. *Unsent*: no byte of it left, so it surely did not happen. *Unanswered*:
it left and no whole answer came, so it may have happened. *Answered* with a status that asks for another try. All of
our calls are idempotent on a server of ours; on Airflow's, one class is not (`/dag-runs`, and a retry's `state`, which
replaces the attempt). So a call remembers that an earlier try of its own went unanswered, and then reads a conflict as
its own doing.

An outage (no server, or a gateway saying so) is waited out with growing, jittered pauses, for as long as the caller's
patience lasts. An error of the server's own (500) is tried only a few times: it is likely to be about this request.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

OUTAGE = frozenset({408, 425, 429, 502, 503, 504})
CONFLICTS = frozenset({404, 409, 410})
SERVER_ERROR = 500


class Fault(StrEnum):
    """How a call went without an answer."""

    UNSENT = "unsent"
    UNANSWERED = "unanswered"


class RetryPolicy(Struct, frozen=True):
    """How a caller waits."""

    tries: int = 5
    """For errors of the server's own."""
    patience_s: float | None = None
    """For outages; None waits for as long as there is someone who waits."""
    first_s: float = 0.2
    longest_s: float = 15.0
    retry_after_most_s: float = 60.0
    in_line_s: float | None = None
    """How long to stand in line while the API is known to be away; None: as long as there is someone who waits."""


ONCE = RetryPolicy(tries=1, patience_s=0.0)
"""No second try: for heartbeats, whose next one is the second try."""

UNTIL_ANSWERED = RetryPolicy(tries=2**31, longest_s=6.0)
"""For what must not be lost: an outcome, and the question whether an attempt may run. Told soon after an outage."""


class Trial(Struct, frozen=True):
    """How one try ended: an answer's status, or a fault."""

    number: int
    """Counted from 1."""
    elapsed_s: float
    """Since the first try began."""
    status: int | None = None
    fault: Fault | None = None
    retry_after_s: float | None = None


def pause(policy: RetryPolicy, trial: Trial, chance: float) -> float | None:
    """How long to wait before the next try; None when there is none. `chance` in [0, 1) spreads those who wait."""
    if trial.status is not None and trial.status not in OUTAGE:
        if trial.status < SERVER_ERROR or trial.number >= policy.tries:
            return None
    elif policy.patience_s is not None and trial.elapsed_s >= policy.patience_s:
        return None
    if trial.retry_after_s is not None:
        return min(trial.retry_after_s, policy.retry_after_most_s) + policy.first_s * chance
    # 2**16 first pauses are longer than any longest pause, and a float cannot overflow there.
    grown = min(policy.first_s * 2.0 ** min(trial.number - 1, 16), policy.longest_s)
    return grown * (0.5 + 0.5 * chance)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Read a `Retry-After`: seconds, or a moment as HTTP writes it. What cannot be read is as if it were not there."""
    if header is None:
        return None
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        moment = datetime.strptime(header, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=now.tzinfo)
    except ValueError:
        return None
    return max((moment - now).total_seconds(), 0.0)


def own_doing(status: int, *, unanswered_before: bool) -> bool:
    """Say whether a conflict is the trace of our own earlier call whose answer was lost."""
    return unanswered_before and status in CONFLICTS


def known_already(state: str, in_force: str | None, *, own: bool, extended: bool) -> bool:
    """Say whether a server that refuses an end has this very end. Ours would have said so: its refusal is meant.

    Airflow's cannot say so of an attempt that it has replaced, perhaps because of our own earlier call.
    """
    return in_force == state or (own and not extended)
