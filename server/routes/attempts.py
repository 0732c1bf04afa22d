"""Task instances and their attempts, as people see them and act on them."""

from datetime import timedelta
from typing import Annotated

from litestar import Response, get, post
from litestar.params import FromQuery, JSONBody, QueryParameter

from protocol.http.people import (
    Acted,
    ClearRequest,
    InstancePage,
    InstanceSummary,
    KillRequest,
    MarkRequest,
    PoolBody,
    PoolPage,
    PoolSummary,
    StopBody,
    Timeline,
)
from protocol.states import FINISHED, TaskInstanceState
from server.admission import PEOPLE, Call, TiId
from server.faults import NotFound
from server.filters import InstanceFilter, Tail
from server.logbook import LogName
from server.records import Attempt, Instance
from server.routes.answers import refusals
from server.routes.people import Limit, Offset
from server.views import attempt_summary, instance_summary, timeline_event, waits

NEXT, COMPLETE = "taskhand-log-next", "taskhand-log-complete"
CHUNK = 1024 * 1024
SETTLES_S = 3.0
"""So long after an attempt's end nothing more comes to its log: workers send the rest when the process is gone."""
LONG_AGO = timedelta(minutes=1)


@get("/task-instances", opt=PEOPLE, responses=refusals(), summary="List task instances")
async def instances(
    request: Call,
    flow: FromQuery[str | None] = None,
    run: FromQuery[str | None] = None,
    task: FromQuery[str | None] = None,
    map_index: Annotated[int | None, QueryParameter(ge=-1, le=2**31 - 1)] = None,
    in_state: Annotated[TaskInstanceState | None, QueryParameter(name="state")] = None,
    worker: FromQuery[str | None] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> InstancePage:
    """Give the task instances that fit: newest runs first, each in the order of its flow."""
    which = InstanceFilter(
        dag_id=flow,
        run_ids=[run] if run else None,
        task_ids=[task] if task else None,
        map_index=map_index,
        states=[in_state.value] if in_state else None,
        worker=worker,
    )
    store = request.deck.store
    found = await store.instances(which, limit=limit, offset=offset)
    return InstancePage([instance_summary(each) for each in found], await store.count_instances(which))


@get("/attempts", opt=PEOPLE, responses=refusals(), summary="Find attempts by their id")
async def like(
    request: Call,
    prefix: Annotated[str, QueryParameter(name="id", pattern=r"^[0-9a-f][0-9a-f-]{3,35}$")],
    limit: Annotated[int, QueryParameter(ge=1, le=100)] = 10,
) -> InstancePage:
    """Give the attempts, replaced or not, whose id begins so; `total` says how many were given."""
    found = await request.deck.store.attempts_like(prefix, limit)
    summaries = [attempt_summary(*await _attempt(request, each.id)) for each in found]
    return InstancePage(summaries, len(summaries))


async def _attempt(request: Call, ti_id: str) -> tuple[Attempt, Instance]:
    """Find an attempt, replaced or not, and the instance it is of."""
    store = request.deck.store
    attempt = await store.attempt(ti_id)
    if attempt is None:
        raise NotFound("attempt", ti_id)
    current = await store.find(attempt.dag_id, attempt.run_id, attempt.task_id, attempt.map_index)
    if current is None:
        raise NotFound("task instance of attempt", ti_id)
    return attempt, current


async def _summary(request: Call, instance: Instance) -> InstanceSummary:
    kept = await request.deck.store.checkpoints(instance.dag_id, instance.run_id, instance.task_id, instance.map_index)
    return instance_summary(instance, kept[0] if kept else None)


@get("/task-instances/{ti_id:str}", opt=PEOPLE, responses=refusals(), summary="An attempt")
async def instance(request: Call, ti_id: TiId) -> InstanceSummary:
    """Give an attempt, replaced or not."""
    attempt, current = await _attempt(request, ti_id)
    return await _summary(request, current) if attempt.current else attempt_summary(attempt, current)


@get("/task-instances/{ti_id:str}/timeline", opt=PEOPLE, responses=refusals(), summary="Why it is where it is")
async def timeline(request: Call, ti_id: TiId, limit: Limit = 1000, offset: Offset = 0) -> Timeline:
    """Tell the story of a task instance over all its attempts: the last `limit` attempts and events.

    `offset` leaves out so many of the newest of both, and so gives those before them.
    """
    _, current = await _attempt(request, ti_id)
    names = (current.dag_id, current.run_id, current.task_id, current.map_index)
    store = request.deck.store
    tail = Tail(limit=limit, offset=offset)
    attempts = await store.attempts(*names, tail=tail)
    events = await store.timeline(*names, tail=tail)
    return Timeline(
        await _summary(request, current),
        [attempt_summary(each, current) for each in attempts],
        [timeline_event(event) for event in events],
        waits(current, request.deck.asked.get(current.queue)),
        *await store.count_story(*names),
    )


@get(
    "/task-instances/{ti_id:str}/log",
    opt=PEOPLE,
    responses=refusals(),
    summary="An attempt's log",
    media_type="text/plain; charset=utf-8",
)
async def log(
    request: Call,
    ti_id: TiId,
    offset: Annotated[int, QueryParameter(ge=0)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=CHUNK)] = CHUNK,
    wait_s: Annotated[float, QueryParameter(ge=0, le=30)] = 0.0,
) -> Response[bytes]:
    """Give a range of the log. Two headers say where the next begins, and whether the attempt is over.

    With `wait_s`, an answer that would be empty waits for the log to grow: that is how it is followed. The last of a
    log comes after its attempt's end was told, so who follows hears that it is complete when nothing has come for a
    while after that.
    """
    deck = request.deck
    attempt, _ = await _attempt(request, ti_id)
    name = LogName(attempt.dag_id, attempt.run_id, attempt.task_id, attempt.map_index, attempt.id)
    over = _over(attempt)
    settled = over and (not wait_s or request.now - (attempt.end_date or request.now) > LONG_AGO)
    found = deck.logbook.read(name, offset, limit)
    if wait_s and not found and not settled:
        await deck.closing.unless(deck.logbook.growth(name, offset, min(wait_s, SETTLES_S) if over else wait_s))
        found = deck.logbook.read(name, offset, limit)
        settled = over and not found
    end = offset + len(found)
    complete = settled and end >= deck.logbook.size(name)
    return Response(found, headers={NEXT: str(end), COMPLETE: "true" if complete else "false"})


def _over(attempt: Attempt) -> bool:
    return not attempt.current or attempt.state in FINISHED


@post("/task-instances/{ti_id:str}/clear", opt=PEOPLE, status_code=200, responses=refusals(409, 410), summary="Clear")
async def clear(request: Call, ti_id: TiId, data: JSONBody[ClearRequest]) -> Acted:
    """Have it run again: from the start, or from its checkpoint. Answers with all that was cleared by it."""
    deck = request.deck
    named, *others = await deck.store.clear(
        ti_id, request.now, keep_checkpoint=data.keep_checkpoint, downstream=data.downstream
    )
    # What comes after it has lost its checkpoints.
    listed = [await _summary(request, named), *map(instance_summary, others[: deck.limits.page - 1])]
    return Acted(listed, 1 + len(others))


@post("/task-instances/{ti_id:str}/kill", opt=PEOPLE, status_code=200, responses=refusals(409, 410), summary="Kill")
async def kill(request: Call, ti_id: TiId, data: JSONBody[KillRequest]) -> Acted:
    """End it as failed. Its worker is told at the next heartbeat."""
    done = await request.deck.store.kill(ti_id, request.now, reason=data.reason or "killed by hand")
    return Acted([await _summary(request, done)])


@post("/task-instances/{ti_id:str}/stop", opt=PEOPLE, status_code=204, responses=refusals(409, 410), summary="Stop")
async def stop(request: Call, ti_id: TiId, data: JSONBody[StopBody]) -> None:
    """Ask it to stop at its next checkpoint. Its worker is told at the next heartbeat or checkpoint."""
    await request.deck.store.request_stop(ti_id, data.reason, request.now)


@post("/task-instances/{ti_id:str}/resume", opt=PEOPLE, status_code=200, responses=refusals(409, 410), summary="Resume")
async def resume(request: Call, ti_id: TiId) -> Acted:
    """Let a checkpointed task instance that is held go on."""
    done = await request.deck.store.resume(ti_id, request.now)
    return Acted([await _summary(request, done)])


@post("/task-instances/{ti_id:str}/mark", opt=PEOPLE, status_code=200, responses=refusals(409, 410), summary="Mark")
async def mark(request: Call, ti_id: TiId, data: JSONBody[MarkRequest]) -> Acted:
    """Say how it ended, whatever happened."""
    done = await request.deck.store.mark(ti_id, data.state, request.now, reason=data.reason)
    return Acted([await _summary(request, done)])


@get("/pools", opt=PEOPLE, responses=refusals(), summary="List pools")
async def pools(request: Call) -> PoolPage:
    """Give all pools, with the slots in use."""
    return PoolPage([PoolSummary(pool.name, pool.slots, pool.used) for pool in await request.deck.store.pools()])


@post("/pools", opt=PEOPLE, status_code=204, responses=refusals(), summary="Set a pool")
async def set_pool(request: Call, data: JSONBody[PoolBody]) -> None:
    """Make a pool, or change its size; a negative number of slots is no limit."""
    await request.deck.store.set_pool(data.name, data.slots)


HANDLERS = [instances, like, instance, timeline, log, clear, kill, stop, resume, mark, pools, set_pool]
