"""Triggerers without a database: jobs that show life, and claims on triggers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from protocol.messages.shape import Json
from server.records import Applied, Trigger


class Triggers(Protocol):
    """Triggerers without a database: jobs that show life, and claims on triggers."""

    async def register_job(self, job_type: str, hostname: str, now: datetime) -> int:
        """Say that a triggerer lives."""
        ...

    async def job_heartbeat(self, job_id: int, now: datetime) -> bool:
        """Say that it still lives; False when the job is unknown or over."""
        ...

    async def complete_job(self, job_id: int, now: datetime) -> bool:
        """Say that it ended; what it owned is free."""
        ...

    async def load_triggers(
        self, triggerer: int, capacity: int, threshold: float, queues: Sequence[str] | None, now: datetime
    ) -> list[int]:
        """Give the ids this triggerer owns now, after it took over what nobody alive owns, up to its capacity."""
        ...

    async def trigger_workloads(self, ids: Sequence[int]) -> list[Trigger]:
        """Give these triggers, as far as they still wait."""
        ...

    async def trigger_event(
        self, trigger: int, payload: Json, now: datetime, *, ends_as: str | None = None, triggerer: int | None = None
    ) -> Applied:
        """Resume the waiting instance with this payload, untouched, or end it as `success`, `failed` or `skipped`."""
        ...

    async def trigger_failure(
        self, trigger: int, error: list[str] | None, now: datetime, *, triggerer: int | None = None
    ) -> Applied:
        """Have the waiting instance fail, with these lines."""
        ...

    async def clean_triggers(self) -> int:
        """Remove the triggers nobody waits for; gives how many."""
        ...
