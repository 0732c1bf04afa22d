"""Runs of a Dag: asking about them, and starting one."""

from typing import Any

from msgspec import structs

from protocol.messages.control import ErrorResponse, ErrorType, OKResponse
from protocol.messages.runs import (
    DagResult,
    DagRun,
    DagRunResult,
    DagRunStateResult,
    DRCount,
    GetDag,
    GetDagRun,
    GetDagRunState,
    GetDRCount,
    GetPreviousDagRun,
    GetPrevSuccessfulDagRun,
    PreviousDagRunResult,
    PrevSuccessfulDagRunResult,
    TriggerDagRun,
    UpdateDagRunNote,
)
from supervisor.answers.desk import Desk
from supervisor.api import ApiRefused
from supervisor.paths import path, query

CONFLICT = 409


async def get_dag(desk: Desk, message: GetDag) -> DagResult:
    """A Dag's own record."""
    return await desk.api.get(path("dags", message.dag_id), DagResult)


async def get_run(desk: Desk, message: GetDagRun) -> DagRunResult:
    """One run."""
    return await desk.api.get(path("dag-runs", message.dag_id, message.run_id), DagRunResult)


async def get_state(desk: Desk, message: GetDagRunState) -> DagRunStateResult:
    """Only where it is."""
    return await desk.api.get(path("dag-runs", message.dag_id, message.run_id, "state"), DagRunStateResult)


async def get_previous(desk: Desk, message: GetPreviousDagRun) -> PreviousDagRunResult:
    """The run before, or nil; the body is bare."""
    asked = query(dag_id=message.dag_id, logical_date=message.logical_date, state=message.state)
    found = await desk.api.get(path("dag-runs", "previous") + asked, _MAYBE_RUN)
    return PreviousDagRunResult(found)


_MAYBE_RUN: Any = DagRun | None


async def get_previous_successful(desk: Desk, _: GetPrevSuccessfulDagRun) -> PrevSuccessfulDagRunResult:
    """Always this attempt's own: the server lets it ask about no other."""
    target = path("task-instances", desk.ti_id, "previous-successful-dagrun")
    return await desk.api.get(target, PrevSuccessfulDagRunResult)


async def count(desk: Desk, message: GetDRCount) -> DRCount:
    """The body is a bare number."""
    asked = query(
        dag_id=message.dag_id,
        logical_dates=message.logical_dates,
        run_ids=message.run_ids,
        states=message.states,
    )
    return DRCount(await desk.api.get(path("dag-runs", "count") + asked, int))


async def trigger(desk: Desk, message: TriggerDagRun) -> OKResponse | ErrorResponse:
    """Start a run. A conflict with our own earlier call, whose answer was lost, is success."""
    target = path("dag-runs", message.dag_id, message.run_id)
    try:
        await desk.api.do("POST", target, _body(message))
    except ApiRefused as refused:
        if refused.status != CONFLICT:
            raise
        if message.reset_dag_run:
            await desk.api.do("POST", f"{target}/clear")
        elif not refused.own:
            return ErrorResponse(ErrorType.DAGRUN_ALREADY_EXISTS, {"message": refused.why.message})
    return OKResponse(ok=True)


async def update_note(desk: Desk, message: UpdateDagRunNote) -> OKResponse:
    """Write the note of this attempt's run."""
    await desk.api.do("PATCH", path("task-instances", message.ti_id, "dag-run-note"), {"note": message.note})
    return OKResponse(ok=True)


def _body(message: TriggerDagRun) -> dict[str, Any]:
    """Only what was set: an older server refuses keys it does not know."""
    fields = structs.asdict(message)
    return {
        key: value
        for key, value in fields.items()
        if key not in {"dag_id", "run_id"} and value is not None and value is not False
    }
