"""What the server needs kept, as one protocol: routes, engine and commands speak to this and to no database.

Every method is one transaction. When it returns, what it wrote is durable and visible to every other caller; when it
raises, nothing was written. Time is an argument. `ti_id` is an attempt's id; every method that takes one refuses an
attempt that was replaced with `Archived`, so a stale worker can change nothing. What can be wrong is in
`server.faults`.
"""

from datetime import datetime
from typing import Protocol

from server.contracts.attempts import Attempts
from server.contracts.runs import Runs
from server.contracts.triggers import Triggers
from server.contracts.values import Values
from server.filters import Retention
from server.records import Pruned, Ticked


class Store(Attempts, Values, Runs, Triggers, Protocol):
    """All of it, with its start and end and the engine's tick."""

    async def open(self) -> None:
        """Connect and bring the schema up to date; safe when several servers do it at once. Twice is fine."""
        ...

    async def close(self) -> None:
        """Finish what was asked for and let go. Twice, and before `open`, is fine."""
        ...

    async def ready(self, now: datetime) -> None:
        """Read and write once; raises `StoreBroken` when that fails."""
        ...

    async def tick(self, now: datetime, *, limit: int = 200) -> Ticked:
        """Let happen what is due, and advance the runs in which something changed. Safe in many servers at once."""
        ...

    def change_seen(self) -> int:
        """Give a number before a tick; `wait_for_change` with it misses nothing."""
        ...

    async def wait_for_change(self, seen: int, seconds: float) -> bool:
        """Return when a transition after `seen` calls for a tick, or after so many seconds (then False)."""
        ...

    async def prune(self, retention: Retention, now: datetime) -> Pruned:
        """Remove what is older than it should be kept."""
        ...
