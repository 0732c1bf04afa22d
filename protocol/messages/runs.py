"""Runs of a Dag: what a task may ask about its own and others, and how it starts one."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from protocol.changes import Change
from protocol.messages.assets import AssetEventDagRunReference
from protocol.messages.shape import Aware, Message, SparseMessage, StrictMessage, StrictModel


class DagRunState(StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class DagRunType(StrEnum):
    """What started a run."""

    BACKFILL = "backfill"
    SCHEDULED = "scheduled"
    MANUAL = "manual"
    OPERATOR_TRIGGERED = "operator_triggered"
    ASSET_TRIGGERED = "asset_triggered"
    ASSET_MATERIALIZATION = "asset_materialization"


class DagRun(StrictModel, frozen=True):
    """A run. It refuses unknown keys, so nothing may be added to it on the way to a child."""

    dag_id: str
    run_id: str
    logical_date: Aware | None
    data_interval_start: Aware | None
    data_interval_end: Aware | None
    run_after: Aware
    start_date: Aware | None
    end_date: Aware | None
    run_type: DagRunType
    state: DagRunState
    consumed_asset_events: list[AssetEventDagRunReference]
    partition_key: str | None
    clear_number: int = 0
    conf: dict[str, Any] | None = None
    triggering_user_name: str | None = None
    partition_date: Aware | None = None
    note: str | None = None
    team_name: str | None = None


class GetDag(Message, frozen=True):
    """Ask for a Dag's own record."""

    dag_id: str


class DagResult(Message, frozen=True):
    """A Dag's own record."""

    dag_id: str
    is_paused: bool
    bundle_name: str | None
    bundle_version: str | None
    relative_fileloc: str | None
    owners: str | None
    tags: list[str]
    next_dagrun: Aware | None


class GetDagRun(Message, frozen=True):
    """Ask for one run."""

    dag_id: str
    run_id: str


class DagRunResult(StrictMessage, frozen=True):
    """One run."""

    dag_id: str
    run_id: str
    logical_date: Aware | None
    data_interval_start: Aware | None
    data_interval_end: Aware | None
    run_after: Aware
    start_date: Aware | None
    end_date: Aware | None
    run_type: DagRunType
    state: DagRunState
    consumed_asset_events: list[AssetEventDagRunReference]
    partition_key: str | None
    clear_number: int | None = 0
    conf: dict[str, Any] | None = None
    triggering_user_name: str | None = None
    partition_date: Aware | None = None
    note: str | None = None
    team_name: str | None = None


class GetDagRunState(Message, frozen=True):
    """Ask only where a run is."""

    dag_id: str
    run_id: str


class DagRunStateResult(Message, frozen=True):
    """Where a run is."""

    state: DagRunState


class GetPreviousDagRun(Message, frozen=True):
    """Ask for the run before a logical date, optionally only in one state."""

    dag_id: str
    logical_date: Aware
    state: str | None = None


class PreviousDagRunResult(Message, frozen=True):
    """The run before, or nil."""

    dag_run: DagRun | None = None


class GetPrevSuccessfulDagRun(Message, frozen=True):
    """Ask for the dates of the last successful run before this task instance's own."""

    ti_id: UUID


class PrevSuccessfulDagRunResult(SparseMessage, frozen=True):
    """The dates of the last successful run, as far as there is one."""

    data_interval_start: Aware | None = None
    data_interval_end: Aware | None = None
    start_date: Aware | None = None
    end_date: Aware | None = None


class GetDRCount(Message, frozen=True):
    """Ask how many runs fit the filters."""

    dag_id: str
    logical_dates: list[Aware] | None = None
    run_ids: list[str] | None = None
    states: list[str] | None = None


class DRCount(Message, frozen=True):
    """A number of runs."""

    count: int


class TriggerDagRun(StrictMessage, frozen=True):
    """Start a run of a Dag. The run id is the key: with `reset_dag_run`, one that exists is cleared and runs again."""

    dag_id: str
    run_id: str
    logical_date: Aware | None = None
    run_after: Aware | None = None
    conf: dict[str, Any] | None = None
    reset_dag_run: bool | None = False
    partition_key: str | None = None
    note: str | None = None


class UpdateDagRunNote(Message, frozen=True):
    """Write the note of this task instance's run. An empty note removes it; nil leaves it as it is."""

    ti_id: UUID
    note: str | None


CHANGES = (Change("2026-10-30", UpdateDagRunNote, down=None),)
