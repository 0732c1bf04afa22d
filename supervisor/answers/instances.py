"""Other task instances, and people who are asked something."""

from datetime import datetime
from typing import Any

from msgspec import structs

from protocol.messages.hitl import (
    CreateHITLDetailPayload,
    GetHITLDetailResponse,
    HITLDetailRequestResult,
    HITLDetailResponseResult,
    UpdateHITLDetail,
)
from protocol.messages.instances import (
    GetPreviousTI,
    GetTaskBreadcrumbs,
    GetTaskRescheduleStartDate,
    GetTaskStates,
    GetTICount,
    PreviousTIResponse,
    PreviousTIResult,
    TaskBreadcrumbsResult,
    TaskRescheduleStartDate,
    TaskStatesResult,
    TICount,
)
from supervisor.answers.desk import Desk
from supervisor.paths import path, query


async def count(desk: Desk, message: GetTICount) -> TICount:
    """The body is a bare number."""
    return TICount(await desk.api.get(path("task-instances", "count") + query(**structs.asdict(message)), int))


async def states(desk: Desk, message: GetTaskStates) -> TaskStatesResult:
    """States by run and task."""
    asked = query(**structs.asdict(message))
    return await desk.api.get(path("task-instances", "states") + asked, TaskStatesResult)


async def previous(desk: Desk, message: GetPreviousTI) -> PreviousTIResult:
    """The task instance of an earlier run, or nil; the body is bare."""
    asked = query(logical_date=message.logical_date, map_index=message.map_index, state=message.state)
    target = path("task-instances", "previous", message.dag_id, message.task_id)
    return PreviousTIResult(await desk.api.get(target + asked, _MAYBE_INSTANCE))


async def breadcrumbs(desk: Desk, message: GetTaskBreadcrumbs) -> TaskBreadcrumbsResult:
    """What of a run has finished."""
    asked = query(dag_id=message.dag_id, run_id=message.run_id)
    return await desk.api.get(path("task-instances", "breadcrumbs") + asked, TaskBreadcrumbsResult)


async def reschedule_start(desk: Desk, message: GetTaskRescheduleStartDate) -> TaskRescheduleStartDate:
    """The body is a bare moment, or nil."""
    target = path("task-reschedules", message.ti_id, "start_date") + query(try_number=message.try_number)
    return TaskRescheduleStartDate(await desk.api.get(target, _MAYBE_MOMENT))


async def create_hitl(desk: Desk, message: CreateHITLDetailPayload) -> HITLDetailRequestResult:
    """Put a question to people."""
    body = {key: value for key, value in structs.asdict(message).items() if value is not None}
    return await desk.api.ask("POST", path("hitlDetails", message.ti_id), body, HITLDetailRequestResult)


async def get_hitl(desk: Desk, message: GetHITLDetailResponse) -> HITLDetailResponseResult:
    """What they answered."""
    return await desk.api.get(path("hitlDetails", message.ti_id), HITLDetailResponseResult)


async def update_hitl(desk: Desk, message: UpdateHITLDetail) -> HITLDetailResponseResult:
    """Answer for them."""
    body = {key: value for key, value in structs.asdict(message).items() if value is not None}
    return await desk.api.ask("PATCH", path("hitlDetails", message.ti_id), body, HITLDetailResponseResult)


_MAYBE_INSTANCE: Any = PreviousTIResponse | None
_MAYBE_MOMENT: Any = datetime | None
