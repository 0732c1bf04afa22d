"""Checkpoints and logs of an attempt: Taskhand's own routes for its supervisor."""

from typing import Annotated

from litestar import get, post, put
from litestar.params import JSONBody, QueryParameter

from protocol.messages.checkpoints import CheckpointResult, CheckpointSaved, GetCheckpoint, SaveCheckpoint
from server.admission import OWN, Call, TiId
from server.faults import NotFound
from server.logbook import LogFull, LogGap, LogName
from server.outcomes import NewCheckpoint
from server.points import point
from server.refusals import refused
from server.routes.answers import refusals
from server.views import checkpoint_record


@put("/task-instances/{ti_id:str}/checkpoint", opt=OWN, responses=refusals(409, 410), summary="Save a checkpoint")
async def save(
    request: Call,
    ti_id: TiId,
    data: JSONBody[SaveCheckpoint],
    number: Annotated[int | None, QueryParameter(ge=1, le=2**62)] = None,
) -> CheckpointSaved:
    """Record a checkpoint. It is durable when this answers, and `stopping` says that now is the moment to end on it.

    Saves of an attempt that are numbered may be sent again: what comes late, or twice, is not written.
    """
    checkpoint = NewCheckpoint(data=data.data, blob=data.blob, progress=data.progress, fingerprint=data.fingerprint)
    point("server.save.asked")
    saved = await request.deck.store.save_checkpoint(
        ti_id, checkpoint, request.now, fence=request.claims.fence, number=number
    )
    point("server.save.committed")
    return CheckpointSaved(saved.seq, saved.stop is not None)


@get("/task-instances/{ti_id:str}/checkpoint", opt=OWN, responses=refusals(410), summary="What to resume from")
async def find(request: Call, ti_id: TiId) -> CheckpointResult:
    """Give the record to resume from, as the resume budget chose it; none means a fresh start, and `note` says why."""
    point = await request.deck.store.resume_point(ti_id)
    return CheckpointResult(checkpoint_record(point.checkpoint), point.note)


@post(
    "/task-instances/{ti_id:str}/checkpoint",
    opt=OWN,
    status_code=200,
    responses=refusals(409, 410),
    summary="Begin from a checkpoint",
)
async def begin(request: Call, ti_id: TiId, data: JSONBody[GetCheckpoint]) -> CheckpointResult:
    """As GET, for who says its fingerprint or could not use a record; what was decided and why is in the timeline."""
    point = await request.deck.store.begin_from(ti_id, data, request.now, fence=request.claims.fence)
    return CheckpointResult(checkpoint_record(point.checkpoint), point.note, point.hold)


@put("/task-instances/{ti_id:str}/log", opt=OWN, status_code=204, responses=refusals(409), summary="Append to the log")
async def append(request: Call, ti_id: TiId, offset: Annotated[int, QueryParameter(ge=0)]) -> None:
    """Append bytes that begin at `offset`. What is there already is not taken twice; a gap is 409 with `expected`.

    An attempt that ended may still bring the rest of its log, also when it was replaced.
    """
    deck = request.deck
    name = deck.logbook.remembered(ti_id) or deck.logbook.remember(await _name(request, ti_id))
    chunk = await request.body()
    try:
        deck.logbook.append(name, offset, chunk)
    except LogGap as error:
        raise refused(409, "log_gap", f"{error}; this chunk begins at {offset}", expected=error.expected) from None
    except LogFull:
        raise refused(413, "log_full", f"a log has at most {deck.limits.log} bytes") from None


async def _name(request: Call, ti_id: str) -> LogName:
    attempt = await request.deck.store.attempt(ti_id)
    if attempt is None:
        raise NotFound("attempt", ti_id)
    return LogName(attempt.dag_id, attempt.run_id, attempt.task_id, attempt.map_index, attempt.id)


HANDLERS = [save, find, begin, append]
