"""The life of an attempt, as its supervisor tells it: run, heartbeat, end; and what hangs on the attempt."""

from typing import Annotated, Any, cast

from litestar import Response, get, patch, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, JSONBody, QueryParameter

from protocol.http.errors import Fault
from protocol.http.instances import AttemptRemark, SkipDownstream, TIEnd, TIEnterRunningPayload, TIHeartbeatInfo
from protocol.messages.assets import InactiveAssetsResult
from protocol.messages.runs import PrevSuccessfulDagRunResult
from protocol.messages.shape import Aware
from protocol.messages.startup import TIRunContext
from server.admission import LIFE, OWN, START, Call, TiId
from server.faults import Archived
from server.outcome_of import outcome_of
from server.points import point
from server.records import Applied, PidOf, Process
from server.refusals import Refusal, invalid, refused
from server.routes.answers import refusals
from server.tokens import Scope
from server.views import plain, run_context

STOP_HEADER = "taskhand-stop"
"""On a heartbeat's answer: why the attempt is asked to stop at its next checkpoint."""

KNOWN = ResponseSpec(None, description="It was known already: the same outcome, told again.")

LONGEST_LABEL = 10_000


@patch("/task-instances/{ti_id:str}/run", opt=START, responses=refusals(409, 410), summary="An attempt begins")
async def run(
    request: Call, ti_id: TiId, data: JSONBody[TIEnterRunningPayload], pid_of: FromQuery[PidOf] = PidOf.CHILD
) -> TIRunContext:
    """Start an attempt. Asked again by the same process it answers the same, in case the answer was lost.

    A worker gives its own pid where there is no child before it may run, and says so by `pid_of`.
    """
    claims, deck = request.claims, request.deck
    process = Process(hostname=data.hostname, unixname=data.unixname, pid=data.pid)
    started = await deck.store.start(ti_id, process, data.start_date, request.now, fence=claims.fence, pid_of=pid_of)
    if claims.scope is Scope.WORKLOAD:
        request.hand_over(deck.tokens.mint(Scope.EXECUTION, ti_id, request.now, fence=started.instance.fence))
    return request.dress(run_context(started))


@patch(
    "/task-instances/{ti_id:str}/state",
    opt=LIFE,
    status_code=204,
    responses=refusals(409, 410) | {200: KNOWN},
    summary="An attempt ended",
)
async def state(request: Call, ti_id: TiId, data: JSONBody[TIEnd]) -> Response[None]:
    """Take an outcome. The same one again is 200: it was known."""
    point("server.end.asked")
    applied = await request.deck.store.finish(ti_id, outcome_of(data), request.now, fence=request.claims.fence)
    point("server.end.committed")
    if applied is Applied.AGAIN:
        # None would be the four letters of `null` here.
        return cast("Response[None]", Response(b"", status_code=200))
    return Response(None)


@put(
    "/task-instances/{ti_id:str}/heartbeat",
    opt=LIFE,
    status_code=204,
    responses=refusals(409, 410),
    summary="An attempt lives",
)
async def heartbeat(request: Call, ti_id: TiId, data: JSONBody[TIHeartbeatInfo]) -> Response[None]:
    """Renew the lease. A replaced attempt is gone: 410."""
    try:
        beat = await request.deck.store.heartbeat(
            ti_id, data.hostname, data.pid, request.now, fence=request.claims.fence
        )
    except Archived as error:
        raise gone(error) from None
    return Response(None, headers={STOP_HEADER: beat.stop.value} if beat.stop else None)


def gone(error: Archived) -> Refusal:
    """410: the attempt is not unknown, it was replaced."""
    return refused(410, "not_found", error.message, **error.detail)


@post("/task-instances/{ti_id:str}/remark", opt=OWN, status_code=204, responses=refusals(), summary="A remark")
async def remark(request: Call, ti_id: TiId, data: JSONBody[AttemptRemark]) -> None:
    """Write a line into the timeline, also of an attempt that is over. The same again adds nothing. Taskhand's own."""
    await request.deck.store.remark(ti_id, data.why, request.now)


@patch("/task-instances/{ti_id:str}/skip-downstream", opt=OWN, status_code=204, responses=refusals(409, 410))
async def skip_downstream(request: Call, ti_id: TiId, data: JSONBody[SkipDownstream]) -> None:
    """Skip tasks of the same run."""
    tasks = [(task, None) if isinstance(task, str) else task for task in data.tasks]
    await request.deck.store.skip_downstream(ti_id, tasks, request.now)


@put("/task-instances/{ti_id:str}/rtif", opt=OWN, status_code=201, responses=refusals(409, 410))
async def rendered_fields(request: Call, ti_id: TiId, data: JSONBody[dict[str, Any]]) -> dict[str, str]:
    """Keep the rendered fields of the attempt, for people."""
    try:
        await request.deck.store.set_rendered_fields(ti_id, data)
    except Archived as error:
        raise gone(error) from None
    return {"message": "Rendered task instance fields successfully set"}


@patch("/task-instances/{ti_id:str}/rendered-map-index", opt=OWN, status_code=204, responses=refusals(409, 410))
async def rendered_map_index(request: Call, ti_id: TiId, data: JSONBody[str]) -> None:
    """Keep what this map index is called."""
    if not 1 <= len(data) <= LONGEST_LABEL:
        raise invalid(Fault("value_error", ["body"], f"from 1 to {LONGEST_LABEL} characters"))
    await request.deck.store.set_rendered_map_index(ti_id, data)


@get("/task-instances/{ti_id:str}/previous-successful-dagrun", opt=OWN, responses=refusals(410))
async def previous_success(request: Call, ti_id: TiId) -> PrevSuccessfulDagRunResult:
    """Give the dates of the last successful run before this one."""
    found = await request.deck.store.previous_success(ti_id)
    if found is None:
        return plain(PrevSuccessfulDagRunResult())
    return plain(
        PrevSuccessfulDagRunResult(found.data_interval_start, found.data_interval_end, found.start_date, found.end_date)
    )


@get("/task-instances/{ti_id:str}/validate-inlets-and-outlets", opt=OWN, responses=refusals(410))
async def validate_assets(request: Call, ti_id: TiId) -> InactiveAssetsResult:
    """Say which of its assets are inactive: none ever is here."""
    await request.deck.store.instance(ti_id)
    return plain(InactiveAssetsResult([]))


@get("/task-reschedules/{ti_id:str}/start_date", opt=OWN, responses=refusals(410))
async def reschedule_start(
    request: Call, ti_id: TiId, try_number: Annotated[int, QueryParameter(ge=0, le=1_000_000)] = 1
) -> Aware | None:
    """Give when a try first began, across its reschedules."""
    return await request.deck.store.reschedule_start(ti_id, try_number)


HANDLERS = [
    run,
    state,
    heartbeat,
    remark,
    skip_downstream,
    rendered_fields,
    rendered_map_index,
    previous_success,
    validate_assets,
    reschedule_start,
]
