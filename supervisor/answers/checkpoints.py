"""Checkpoints and the ledger of external jobs.

A server of ours has routes for both. Airflow's has none, and has the task instance's state store, which outlives an
attempt as they must: there a checkpoint is a value under a key of ours, with its sequence number counted here.
"""

import asyncio
from datetime import UTC, datetime

import msgspec

from protocol.http.values import StateStoreResponse
from protocol.messages.checkpoints import (
    CheckpointRecord,
    CheckpointResult,
    CheckpointSaved,
    CheckpointTask,
    GetCheckpoint,
    SaveCheckpoint,
)
from protocol.messages.control import ErrorResponse, ErrorType, OKResponse
from protocol.messages.jobs import GetJobRecord, JobRecord, JobRecordResult, RecordJob
from protocol.messages.shape import Aware, Message
from protocol.states import TaskInstanceState
from supervisor.answers.desk import Desk, Keeping
from supervisor.api import ApiRefused, AttemptApi
from supervisor.paths import path, query
from supervisor.points import point

NOT_FOUND = 404
KEY = "taskhand.checkpoint"
LOOK_S = 0.2
"""How often a save that is not answered looks up whether the attempt has to end."""
NOT_YET = 0
"""The number of a record that the server does not have yet."""


async def save(desk: Desk, message: SaveCheckpoint) -> CheckpointSaved:
    """Answered when the server has it; or, when the server is away and the attempt has to end, that it is to end now.

    Then the record goes with the task's last word, which is written down here before it is told.
    """
    writing = asyncio.ensure_future(keep(desk, message))
    try:
        while not (await asyncio.wait({writing}, timeout=LOOK_S))[0]:
            if desk.stop_request() is not None and desk.api.client.away_since is not None:
                desk.api.unsaved = message
                return CheckpointSaved(NOT_YET, stopping=True)
        desk.api.unsaved = None
        return writing.result()
    finally:
        writing.cancel()


async def keep(desk: Keeping, message: SaveCheckpoint) -> CheckpointSaved:
    """Come back when the server has it."""
    point("worker.save.heard")
    saved = await record(desk, message)
    point("worker.save.told")
    desk.saved()
    return saved


def last_word(desk: Desk, message: Message) -> Message:
    """Give a word that ends on a checkpoint the record that could not be saved."""
    kept = desk.api.unsaved
    if kept is None or getattr(message, "state", None) != TaskInstanceState.CHECKPOINTED:
        return message
    given = isinstance(message, CheckpointTask) and (message.data is not None or message.blob is not None)
    if given:
        return message
    word = message if isinstance(message, CheckpointTask) else CheckpointTask(datetime.now(UTC))
    return msgspec.structs.replace(word, **msgspec.structs.asdict(kept))


async def get(desk: Desk, message: GetCheckpoint) -> CheckpointResult:
    """The record to resume from. With one, a stop is no eviction: there is a checkpoint to go on from."""
    found = await (_chosen if desk.extended else _stored_one)(desk, message)
    if found.checkpoint is not None:
        desk.saved()
    return found


async def _chosen(desk: Desk, message: GetCheckpoint) -> CheckpointResult:
    target = path("task-instances", desk.ti_id, "checkpoint")
    if message == GetCheckpoint():
        return await desk.api.get(target, CheckpointResult)
    return await desk.api.ask("POST", target, message, CheckpointResult)


async def _stored_one(desk: Desk, message: GetCheckpoint) -> CheckpointResult:
    """Airflow's servers keep no timeline and no policy: there a changed task begins anew."""
    kept = await _stored(desk.api)
    if kept is None:
        return CheckpointResult()
    if message.passed_over == kept.seq:
        return CheckpointResult(note=f"a fresh start: record {kept.seq} could not be used: {message.why}")
    if None not in {kept.fingerprint, message.fingerprint} and kept.fingerprint != message.fingerprint:
        return CheckpointResult(note=f"a fresh start: code, inputs or schema changed since record {kept.seq}")
    return CheckpointResult(kept)


async def record(desk: Keeping, message: SaveCheckpoint | CheckpointTask) -> CheckpointSaved:
    """Write a record, on either kind of server."""
    stopping = desk.stop_request() is not None
    body = SaveCheckpoint(message.data, message.blob, message.progress, message.fingerprint)
    if desk.extended:
        target = path("task-instances", desk.ti_id, "checkpoint")
        saved = await desk.api.ask("PUT", target + query(number=next(desk.api.saves)), body, CheckpointSaved)
        return CheckpointSaved(saved.seq, saved.stopping or stopping)
    before = await _stored(desk.api)
    seq = 1 if before is None else before.seq + 1
    kept = CheckpointRecord(seq, 1, datetime.now(UTC), body.progress, body.fingerprint, body.data, body.blob)
    await desk.api.do("PUT", path("store", "ti", desk.ti_id, KEY), {"value": kept})
    return CheckpointSaved(seq, stopping)


async def on_record(api: AttemptApi, *, extended: bool) -> bool:
    """Whether the server has a checkpoint of it. For who did not watch the attempt: nothing is begun from it."""
    if extended:
        found = await api.get(path("task-instances", api.ti_id, "checkpoint"), CheckpointResult)
        return found.checkpoint is not None
    return await _stored(api) is not None


async def _stored(api: AttemptApi) -> CheckpointRecord | None:
    value = await _value(api, KEY)
    return None if value is None else msgspec.convert(value, CheckpointRecord)


async def _value(api: AttemptApi, key: str) -> object:
    try:
        found = await api.get(path("store", "ti", api.ti_id, key), StateStoreResponse)
    except ApiRefused as refused:
        if refused.status != NOT_FOUND:
            raise
        return None
    return found.value


class _Entry(msgspec.Struct, frozen=True):
    """An entry as it is kept."""

    entry: JobRecord
    recorded: Aware


async def record_job(desk: Desk, message: RecordJob) -> OKResponse | ErrorResponse:
    """Write the next entry of a job's ledger. One that may not follow the last is refused, and nothing is written."""
    last = await _entry(desk, message.job)
    if not follows(message.entry, None if last is None else last.entry):
        text = (
            f"{type(message.entry).__name__} may not follow {'nothing' if last is None else type(last.entry).__name__}"
        )
        return ErrorResponse(ErrorType.GENERIC_ERROR, {"status_code": 409, "message": text, "detail": None})
    value = _Entry(message.entry, datetime.now(UTC))
    await desk.api.do("PUT", path("store", "ti", desk.ti_id, _key(message.job)), {"value": value})
    return OKResponse(ok=True)


async def get_job_record(desk: Desk, message: GetJobRecord) -> JobRecordResult:
    """The last entry of a job's ledger."""
    last = await _entry(desk, message.job)
    return JobRecordResult() if last is None else JobRecordResult(last.entry, last.recorded)


def follows(entry: JobRecord, last: JobRecord | None) -> bool:
    """Say whether an entry may follow: the same again, the next phase of its generation, or the next generation."""
    phases = {"JobIntent": 0, "JobAcknowledged": 1, "JobEnded": 2}
    phase = phases[type(entry).__name__]
    if last is None:
        return phase == 0
    before = phases[type(last).__name__]
    if entry.generation == last.generation:
        return entry.key == last.key and phase >= before
    return entry.generation == last.generation + 1 and phase == 0 and before == phases["JobEnded"]


async def _entry(desk: Desk, job: str) -> _Entry | None:
    value = await _value(desk.api, _key(job))
    return None if value is None else msgspec.convert(value, _Entry)


def _key(job: str) -> str:
    return f"taskhand.job.{job}"
