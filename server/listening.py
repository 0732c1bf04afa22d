"""Whether this server could have been heard all the time. Values in, values out; time is an argument.

A lease ends when nothing was heard of an attempt for so long. That says something of the attempt only if somebody
listened. A server that was down, that could not reach its database, that slept with its machine, or whose clock was
set, would find the leases of everything that runs ended (or far in the future), and start it all a second time beside
the attempts that run on. So a pulse that comes too late, or before the last one, has all leases begin anew: what is
really lost is noticed one lease later.
"""

from datetime import datetime, timedelta


class Listening:
    """The moments of a pulse: when it was, and when the next is expected."""

    def __init__(self, patience: timedelta) -> None:
        self._patience = patience
        self._last: datetime | None = None
        self._next: datetime | None = None

    def missed(self, now: datetime) -> bool:
        """Say whether something may have been said in vain before this moment. Before the first pulse it may."""
        if self._last is None or self._next is None:
            return True
        return now < self._last - self._patience or now > self._next + self._patience

    def heard(self, now: datetime, wait: timedelta) -> None:
        """Remember a pulse that was, and that the next comes after so long at most."""
        self._last, self._next = now, now + wait
