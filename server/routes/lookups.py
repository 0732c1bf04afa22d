"""What tasks ask about task instances other than their own."""

from typing import Annotated, Any

from litestar import get
from litestar.params import FromPath, FromQuery, QueryParameter

from protocol.messages.instances import PreviousTIResponse, TaskBreadcrumbsResult, TaskStatesResult
from protocol.messages.shape import Aware
from protocol.states import FINISHED, TaskInstanceState
from server.admission import TASK, Call
from server.filters import InstanceFilter
from server.records import Instance
from server.routes.answers import refusals
from server.views import plain, previous_instance

MapIndex = Annotated[int | None, QueryParameter(ge=-1, le=2**31 - 1)]
Many = Annotated[list[str] | None, QueryParameter(max_items=10_000)]
Group = Annotated[str | None, QueryParameter(name="task_group_id", max_length=250)]

BREADCRUMBS = 10_000


@get("/task-instances/count", opt=TASK, responses=refusals(), summary="Count task instances")
async def count(
    request: Call,
    dag_id: FromQuery[str],
    map_index: MapIndex = None,
    task_ids: Many = None,
    group: Group = None,
    logical_dates: FromQuery[list[Aware] | None] = None,
    run_ids: Many = None,
    states: Many = None,
) -> int:
    """Count those that fit. There are no task groups here, so none fits one."""
    if group is not None:
        return 0
    return await request.deck.store.count_instances(
        InstanceFilter(
            dag_id=dag_id,
            map_index=map_index,
            task_ids=task_ids,
            logical_dates=logical_dates,
            run_ids=run_ids,
            states=states,
        )
    )


@get("/task-instances/states", opt=TASK, responses=refusals(), summary="States of task instances")
async def states_of(
    request: Call,
    dag_id: FromQuery[str],
    map_index: MapIndex = None,
    task_ids: Many = None,
    group: Group = None,
    logical_dates: FromQuery[list[Aware] | None] = None,
    run_ids: Many = None,
) -> TaskStatesResult:
    """Give states by run and by task, with `_` and the map index for mapped ones."""
    found: dict[str, dict[str, str]] = {}
    if group is None:
        which = InstanceFilter(
            dag_id=dag_id, map_index=map_index, task_ids=task_ids, logical_dates=logical_dates, run_ids=run_ids
        )
        for run_id, task_id, index, state in await request.deck.store.instance_states(which):
            found.setdefault(run_id, {})[task_id if index < 0 else f"{task_id}_{index}"] = state
    return plain(TaskStatesResult(found))


@get("/task-instances/previous/{dag_id:str}/{task_id:str}", opt=TASK, responses=refusals())
async def previous(
    request: Call,
    dag_id: FromPath[str],
    task_id: FromPath[str],
    logical_date: FromQuery[Aware | None] = None,
    map_index: MapIndex = -1,
    in_state: Annotated[TaskInstanceState | None, QueryParameter(name="state")] = None,
) -> PreviousTIResponse | None:
    """Give the instance of the latest earlier run."""
    index = -1 if map_index is None else map_index
    found = await request.deck.store.previous_instance(dag_id, task_id, logical_date, index, in_state)
    return None if found is None else previous_instance(*found)


@get("/task-instances/breadcrumbs", opt=TASK, responses=refusals())
async def breadcrumbs(request: Call, dag_id: FromQuery[str], run_id: FromQuery[str]) -> TaskBreadcrumbsResult:
    """Give a run's finished task instances in short."""
    which = InstanceFilter(dag_id=dag_id, run_ids=[run_id], states=[state.value for state in FINISHED])
    found = await request.deck.store.instances(which, limit=BREADCRUMBS)
    return plain(TaskBreadcrumbsResult([_crumb(instance) for instance in found]))


def _crumb(instance: Instance) -> dict[str, Any]:
    began, ended = instance.start_date, instance.end_date
    return {
        "task_id": instance.task_id,
        "map_index": instance.map_index,
        "try_number": instance.try_number,
        "state": instance.state,
        "start_date": began,
        "end_date": ended,
        "duration": (ended - began).total_seconds() if began and ended else None,
    }


HANDLERS = [count, states_of, previous, breadcrumbs]
