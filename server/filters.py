"""What is asked for: names, filters and limits."""

from datetime import datetime

from server.records import Record


class XComName(Record, frozen=True):
    """Where an XCom is kept."""

    dag_id: str
    run_id: str
    task_id: str
    key: str
    map_index: int = -1


class AssetEventFilter(Record, frozen=True):
    """Which events of assets, and in which order."""

    assets: list[int]
    after: datetime | None = None
    before: datetime | None = None
    ascending: bool = True
    limit: int | None = None
    partition_key: str | None = None


class InstanceFilter(Record, frozen=True):
    """Which instances; every given part must fit."""

    dag_id: str | None = None
    run_ids: list[str] | None = None
    task_ids: list[str] | None = None
    map_index: int | None = None
    logical_dates: list[datetime] | None = None
    states: list[str] | None = None
    worker: str | None = None


class RunFilter(Record, frozen=True):
    """Which runs; every given part must fit."""

    dag_id: str | None = None
    run_ids: list[str] | None = None
    logical_dates: list[datetime] | None = None
    states: list[str] | None = None


class Retention(Record, frozen=True):
    """What is kept for how long, in seconds; None keeps for ever."""

    runs: float | None = None
    limit: int = 100
    """At most so many runs at once, so that pruning never holds others up for long."""


class Tail(Record, frozen=True):
    """The last so many of something, but the very last."""

    limit: int = 2**31 - 1
    """By itself none, in every database."""
    offset: int = 0


WHOLE = Tail()
