"""Claims, and the life of an attempt.

`fence` is the number of the claim, as `/run` gave it (`Started.instance.fence`) and the attempt's token carries it.
Waits keep an attempt's id, so only the fence tells a worker that had it before from the one that has it now. None: it
is not known.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from protocol.messages.checkpoints import GetCheckpoint
from server.outcomes import NewCheckpoint, Outcome
from server.records import Applied, Beat, Claimed, Instance, PidOf, Process, ResumePoint, Saved, Started


class Attempts(Protocol):
    """Claims, and the life of an attempt."""

    async def claim(
        self, worker: str, queues: Sequence[str], slots: int, runtimes: Sequence[str] | None, now: datetime
    ) -> list[Claimed]:
        """Give at most `slots` queued instances to a worker, by priority and then age. `runtimes` None: any runtime.

        Each is a lease: when `/run` does not follow before `instance.due`, another worker may have it, under a higher
        `instance.fence`.
        """
        ...

    def work_seen(self, queues: Sequence[str]) -> int:
        """Give a number before a claim; `wait_for_work` with it misses nothing that could be claimed since."""
        ...

    async def wait_for_work(self, queues: Sequence[str], seen: int, seconds: float) -> bool:
        """Return when there may be something in one of these queues since `seen`, or so many seconds later (False).

        There may be when something was queued, and when a limited pool has room again.
        """
        ...

    async def give_back(self, claimed: Sequence[Claimed], now: datetime) -> None:
        """Put back in line what was claimed for somebody who is gone, as far as nothing has happened to it since."""
        ...

    async def instance(self, ti_id: str) -> Instance:
        """Give the instance whose current attempt this is."""
        ...

    async def start(  # noqa: PLR0913 - what is known of a start
        self,
        ti_id: str,
        process: Process,
        start_date: datetime,
        now: datetime,
        *,
        fence: int | None = None,
        pid_of: PidOf = PidOf.CHILD,
    ) -> Started:
        """`/run`. Asked again by the same process it answers the same. With a fence, only its claim may start it."""
        ...

    async def heartbeat(self, ti_id: str, hostname: str, pid: int, now: datetime, *, fence: int | None = None) -> Beat:
        """Renew the lease."""
        ...

    async def remark(self, ti_id: str, why: str, now: datetime) -> None:
        """Write what its worker saw into the timeline, once; nothing changes by it."""
        ...

    async def renew_leases(self, now: datetime) -> int:
        """Begin all leases anew, because nobody could have been heard for a while; gives how many."""
        ...

    async def finish(self, ti_id: str, outcome: Outcome, now: datetime, *, fence: int | None = None) -> Applied:
        """`/state`. The same outcome told again is `AGAIN`, also by an attempt that was replaced because of it."""
        ...

    async def skip_downstream(self, ti_id: str, tasks: Sequence[tuple[str, int | None]], now: datetime) -> int:
        """Skip these tasks of the same run, with a map index or all of them; gives how many were."""
        ...

    async def set_rendered_fields(self, ti_id: str, fields: dict[str, Any]) -> None:
        """Keep the rendered template fields of this attempt."""
        ...

    async def set_rendered_map_index(self, ti_id: str, text: str) -> None:
        """Keep what this map index is called."""
        ...

    async def reschedule_start(self, ti_id: str, try_number: int) -> datetime | None:
        """Give when a try first began, across its reschedules; None when it was never rescheduled."""
        ...

    async def save_checkpoint(
        self, ti_id: str, new: NewCheckpoint, now: datetime, *, fence: int | None = None, number: int | None = None
    ) -> Saved:
        """Record a checkpoint. Inline data above the limit is `Refused("too_large")`: write a blob and refer to it.

        One that comes again, or after a later one of the same attempt, by its number, is answered and not written.
        """
        ...

    async def resume_point(self, ti_id: str) -> ResumePoint:
        """Give the record to begin from, as the resume budget chose it."""
        ...

    async def begin_from(
        self, ti_id: str, asked: GetCheckpoint, now: datetime, *, fence: int | None = None
    ) -> ResumePoint:
        """Give the record to begin from to who says its fingerprint, and record what was decided and why."""
        ...
