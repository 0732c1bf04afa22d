"""Runs and flows, as tasks ask for them and start them."""

from typing import Annotated

from litestar import get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from protocol.http.values import NoteBody, TriggerDAGRunPayload
from protocol.messages.runs import DagResult, DagRun, DagRunState, DagRunStateResult, DagRunType
from protocol.messages.shape import Aware
from server.admission import OWN, TASK, Call, TiId
from server.filters import RunFilter
from server.records import NewRun, Run
from server.refusals import refused
from server.routes.answers import refusals
from server.routes.lookups import Many
from server.views import dag_run, plain


async def _run(request: Call, dag_id: str, run_id: str) -> Run:
    found = await request.deck.store.run(dag_id, run_id)
    if found is None:
        raise refused(404, "not_found", f"DagRun with dag_id: '{dag_id}' and run_id: '{run_id}' was not found")
    return found


@get("/dags/{dag_id:str}", opt=TASK, responses=refusals(), summary="A flow")
async def dag(request: Call, dag_id: FromPath[str]) -> DagResult:
    """Give a flow's own record."""
    found = await request.deck.store.flow(dag_id)
    if found is None:
        raise refused(404, "not_found", f"The Dag with dag_id: `{dag_id}` was not found")
    graph = found.graph
    bundle = graph.bundle_info
    return plain(
        DagResult(dag_id, found.is_paused, bundle.name, bundle.version, graph.dag_rel_path, None, graph.tags, None)
    )


@get("/dag-runs/count", opt=TASK, responses=refusals(), summary="Count runs")
async def count(
    request: Call,
    dag_id: FromQuery[str],
    logical_dates: FromQuery[list[Aware] | None] = None,
    run_ids: Many = None,
    states: Many = None,
) -> int:
    """Count the runs that fit."""
    which = RunFilter(dag_id=dag_id, logical_dates=logical_dates, run_ids=run_ids, states=states)
    return await request.deck.store.count_runs(which)


@get("/dag-runs/previous", opt=TASK, responses=refusals(), summary="The run before")
async def previous(
    request: Call,
    dag_id: FromQuery[str],
    logical_date: FromQuery[Aware],
    in_state: Annotated[DagRunState | None, QueryParameter(name="state")] = None,
) -> DagRun | None:
    """Give the run before a logical date."""
    found = await request.deck.store.previous_run(dag_id, logical_date, in_state)
    return None if found is None else request.dress(dag_run(found))


@get("/dag-runs/{dag_id:str}/{run_id:str}", opt=TASK, responses=refusals(), summary="A run")
async def run(request: Call, dag_id: FromPath[str], run_id: FromPath[str]) -> DagRun:
    """Give a run."""
    return request.dress(dag_run(await _run(request, dag_id, run_id)))


@get("/dag-runs/{dag_id:str}/{run_id:str}/state", opt=TASK, responses=refusals(), summary="Where a run is")
async def state(request: Call, dag_id: FromPath[str], run_id: FromPath[str]) -> DagRunStateResult:
    """Say only where a run is."""
    return plain(DagRunStateResult((await _run(request, dag_id, run_id)).state))


@post("/dag-runs/{dag_id:str}/{run_id:str}", opt=TASK, status_code=204, responses=refusals(409))
async def trigger(
    request: Call, dag_id: FromPath[str], run_id: FromPath[str], data: JSONBody[TriggerDAGRunPayload]
) -> None:
    """Start a run of a flow that is known. A run id that is taken is 409, so that asking twice starts one."""
    new = NewRun(
        dag_id=dag_id,
        run_id=run_id,
        run_type=DagRunType.OPERATOR_TRIGGERED,
        logical_date=data.logical_date,
        run_after=data.run_after,
        conf=data.conf or {},
        partition_key=data.partition_key,
        note=data.note,
    )
    await request.deck.store.start_run(new, request.now)


@post("/dag-runs/{dag_id:str}/{run_id:str}/clear", opt=TASK, status_code=204, responses=refusals(409))
async def clear(request: Call, dag_id: FromPath[str], run_id: FromPath[str]) -> None:
    """Have a whole run again."""
    await request.deck.store.clear_run(dag_id, run_id, request.now)


@patch("/task-instances/{ti_id:str}/dag-run-note", opt=OWN, status_code=204, responses=refusals(410))
async def note(request: Call, ti_id: TiId, data: JSONBody[NoteBody]) -> None:
    """Write the note of the attempt's run; an empty one removes it, and none leaves it as it is."""
    instance = await request.deck.store.instance(ti_id)
    if data.note is not None:
        await request.deck.store.set_run_note(instance.dag_id, instance.run_id, data.note or None)


HANDLERS = [dag, count, previous, run, state, trigger, clear, note]
