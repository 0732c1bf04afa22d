"""Flows and runs, as people see and start them."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

from litestar import delete, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from protocol.flows import FlowError, check
from protocol.http.people import RunPage, RunSummary, SubmitRun
from protocol.http.values import ConnectionBody, VariablePostBody
from protocol.messages.runs import DagRunState
from protocol.messages.startup import VariableResponse
from protocol.messages.variables import VariableKeysResult
from server.admission import PEOPLE, Call
from server.filters import RunFilter
from server.records import Connection, NewRun, Run
from server.refusals import refused
from server.routes.answers import refusals
from server.views import plain, run_summary

OVER = frozenset({DagRunState.SUCCESS, DagRunState.FAILED})
LOOK_EVERY_S = 0.1
"""Cheap enough for the few who wait, and it needs no bell between the processes of a shared database."""

Limit = Annotated[int, QueryParameter(ge=1, le=1000)]
Offset = Annotated[int, QueryParameter(ge=0, le=2**31 - 1)]


async def _with_counts(request: Call, runs: list[Run]) -> list[RunSummary]:
    counts = await request.deck.store.counts(runs)
    return [run_summary(run, of_run) for run, of_run in zip(runs, counts, strict=True)]


async def _one(request: Call, run: Run) -> RunSummary:
    return (await _with_counts(request, [run]))[0]


async def _found(request: Call, dag_id: str, run_id: str) -> Run:
    run = await request.deck.store.run(dag_id, run_id)
    if run is None:
        raise refused(404, "not_found", f"there is no run {dag_id}/{run_id}")
    return run


@post("/flows/{dag_id:str}/runs", opt=PEOPLE, status_code=201, responses=refusals(409), summary="Submit a run")
async def submit(request: Call, dag_id: FromPath[str], data: JSONBody[SubmitRun]) -> RunSummary:
    """Keep the flow's graph and start a run of it. A run id that is taken is 409, so that asking twice starts one."""
    if data.graph.dag_id != dag_id:
        raise refused(422, "invalid_flow", f"the graph is of flow {data.graph.dag_id!r}, the path says {dag_id!r}")
    try:
        check(data.graph)
    except FlowError as error:
        raise refused(422, "invalid_flow", str(error), problems=error.problems) from None
    new = NewRun(
        dag_id=dag_id,
        run_id=data.run_id or _name(),
        logical_date=data.logical_date,
        run_after=data.run_after,
        conf=data.conf,
        params=data.params,
        note=data.note,
    )
    return await _one(request, await request.deck.store.submit(data.graph, new, request.now))


def _name() -> str:
    """Name a run as Airflow does, with a little chance, so that two in one microsecond are two."""
    return f"manual__{datetime.now(UTC).isoformat()}_{uuid4().hex[:8]}"


@get("/runs", opt=PEOPLE, responses=refusals(), summary="List runs")
async def runs(
    request: Call,
    flow: FromQuery[str | None] = None,
    run: FromQuery[str | None] = None,
    in_state: Annotated[DagRunState | None, QueryParameter(name="state")] = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> RunPage:
    """Give the runs that fit, the newest first."""
    which = RunFilter(dag_id=flow, run_ids=[run] if run else None, states=[in_state.value] if in_state else None)
    store = request.deck.store
    found = await store.runs(which, limit=limit, offset=offset)
    return RunPage(await _with_counts(request, found), await store.count_runs(which))


@get("/flows/{dag_id:str}/runs/{run_id:str}", opt=PEOPLE, responses=refusals(), summary="A run")
async def run(
    request: Call,
    dag_id: FromPath[str],
    run_id: FromPath[str],
    wait_s: Annotated[float, QueryParameter(ge=0, le=30)] = 0.0,
) -> RunSummary:
    """Give a run, with how many of its task instances are in each state. With `wait_s`, wait so long for its end."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + wait_s
    found = await _found(request, dag_id, run_id)
    while found.state not in OVER and loop.time() < ends and not request.deck.closing.said:
        await asyncio.sleep(LOOK_EVERY_S)
        found = await _found(request, dag_id, run_id)
    return await _one(request, found)


@post("/flows/{dag_id:str}/runs/{run_id:str}/clear", opt=PEOPLE, status_code=200, responses=refusals(409))
async def clear(request: Call, dag_id: FromPath[str], run_id: FromPath[str]) -> RunSummary:
    """Have a whole run again, from the start."""
    await _found(request, dag_id, run_id)
    return await _one(request, await request.deck.store.clear_run(dag_id, run_id, request.now))


@post("/flows/{dag_id:str}/pause", opt=PEOPLE, status_code=204, responses=refusals(), summary="Hold a flow back")
async def pause(request: Call, dag_id: FromPath[str]) -> None:
    """Queue nothing new of this flow."""
    await _pause(request, dag_id, paused=True)


@post("/flows/{dag_id:str}/unpause", opt=PEOPLE, status_code=204, responses=refusals(), summary="Let a flow go on")
async def unpause(request: Call, dag_id: FromPath[str]) -> None:
    """Queue what was held back."""
    await _pause(request, dag_id, paused=False)


async def _pause(request: Call, dag_id: str, *, paused: bool) -> None:
    if not await request.deck.store.pause(dag_id, paused=paused):
        raise refused(404, "not_found", f"there is no flow {dag_id!r}")


@get("/variables", opt=PEOPLE, responses=refusals(), summary="List variables")
async def variables(
    request: Call, prefix: FromQuery[str | None] = None, limit: Limit = 100, offset: Offset = 0
) -> VariableKeysResult:
    """Give a page of keys in their order."""
    return plain(VariableKeysResult(*await request.deck.store.variable_keys(prefix, limit, offset)))


@get("/variables/{key:str}", opt=PEOPLE, responses=refusals(), summary="Read a variable")
async def variable(request: Call, key: FromPath[str]) -> VariableResponse:
    """Give a variable."""
    found = await request.deck.store.get_variable(key)
    if found is None:
        raise refused(404, "not_found", f"there is no variable {key!r}")
    return VariableResponse(found.key, found.value)


@put("/variables/{key:str}", opt=PEOPLE, status_code=204, responses=refusals(), summary="Write a variable")
async def set_variable(request: Call, key: FromPath[str], data: JSONBody[VariablePostBody]) -> None:
    """Write a variable, or write it anew."""
    await request.deck.store.set_variable(key, data.val, data.description)


@delete("/variables/{key:str}", opt=PEOPLE, status_code=204, responses=refusals(), summary="Remove a variable")
async def delete_variable(request: Call, key: FromPath[str]) -> None:
    """Remove a variable; an absent one is fine."""
    await request.deck.store.delete_variable(key)


@put("/connections/{conn_id:str}", opt=PEOPLE, status_code=204, responses=refusals(), summary="Write a connection")
async def set_connection(request: Call, conn_id: FromPath[str], data: JSONBody[ConnectionBody]) -> None:
    """Write a connection, or write it anew. Its secrets are for tasks; people cannot read them back."""
    connection = Connection(
        conn_id=conn_id,
        conn_type=data.conn_type,
        host=data.host,
        schema=data.schema,
        login=data.login,
        password=data.password,
        port=data.port,
        extra=data.extra,
    )
    await request.deck.store.set_connection(connection)


@get("/connections", opt=PEOPLE, responses=refusals(), summary="List connections")
async def connections(request: Call) -> list[str]:
    """Give the ids of all connections."""
    return await request.deck.store.connection_ids()


@delete("/connections/{conn_id:str}", opt=PEOPLE, status_code=204, responses=refusals(), summary="Remove a connection")
async def delete_connection(request: Call, conn_id: FromPath[str]) -> None:
    """Remove a connection; an absent one is fine."""
    await request.deck.store.delete_connection(conn_id)


HANDLERS = [
    submit,
    runs,
    run,
    clear,
    pause,
    unpause,
    variables,
    variable,
    set_variable,
    delete_variable,
    set_connection,
    connections,
    delete_connection,
]
