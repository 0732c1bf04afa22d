"""Other task instances: counts, states, predecessors."""

from typing import Any
from uuid import UUID

from protocol.changes import Change, within
from protocol.messages.shape import Aware, Message, Model
from protocol.messages.startup import without_region
from protocol.states import TaskInstanceState


class GetTICount(Message, frozen=True):
    """Ask how many task instances fit the filters."""

    dag_id: str
    map_index: int | None = None
    task_ids: list[str] | None = None
    task_group_id: str | None = None
    logical_dates: list[Aware] | None = None
    run_ids: list[str] | None = None
    states: list[str] | None = None


class TICount(Message, frozen=True):
    """A number of task instances."""

    count: int


class GetTaskStates(Message, frozen=True):
    """Ask for the states of the task instances that fit the filters."""

    dag_id: str
    map_index: int | None = None
    task_ids: list[str] | None = None
    task_group_id: str | None = None
    logical_dates: list[Aware] | None = None
    run_ids: list[str] | None = None


class TaskStatesResult(Message, frozen=True):
    """States by run id, then by task id (with `_` and the map index for mapped ones)."""

    task_states: dict[str, Any]


class GetPreviousTI(Message, frozen=True):
    """Ask for the task instance of an earlier run."""

    dag_id: str
    task_id: str
    logical_date: Aware | None = None
    map_index: int = -1
    state: TaskInstanceState | None = None


class PreviousTIResponse(Model, frozen=True):
    """A task instance of an earlier run."""

    task_id: str
    dag_id: str
    run_id: str
    try_number: int
    logical_date: Aware | None = None
    start_date: Aware | None = None
    end_date: Aware | None = None
    state: str | None = None
    map_index: int | None = -1
    region_id: UUID | None = None
    region_index: int | None = None
    duration: float | None = None


class PreviousTIResult(Message, frozen=True):
    """The task instance of an earlier run, or nil."""

    task_instance: PreviousTIResponse | None = None


class GetTaskBreadcrumbs(Message, frozen=True):
    """Ask for a run's finished task instances in short."""

    dag_id: str
    run_id: str


class TaskBreadcrumbsResult(Message, frozen=True):
    """A run's finished task instances, each as a small map."""

    breadcrumbs: list[dict[str, Any]]


class GetTaskRescheduleStartDate(Message, frozen=True):
    """Ask when this task instance's attempt first began, across its reschedules."""

    ti_id: UUID
    try_number: int = 1


class TaskRescheduleStartDate(Message, frozen=True):
    """When the attempt first began; nil when it was never rescheduled."""

    start_date: Aware | None


CHANGES = (Change("2026-10-30", PreviousTIResult, down=within("task_instance", without_region)),)
