"""From rows to records and back: moments, JSON, and the columns each record is made of."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from os import urandom
from typing import TypeVar

import msgspec

from protocol.messages.checkpoints import BlobReference, StopReason
from protocol.messages.runs import DagRunState, DagRunType
from protocol.messages.shape import Json
from protocol.states import TaskInstanceState
from server.engine import ResumeFrom
from server.records import Attempt, Checkpoint, FailureKind, Instance, Run
from server.sql.transaction import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def micros(moment: datetime) -> int:
    """Give a moment as a column has it.

    Raises `OverflowError` for one that UTC has no year for (23:59 of 9999-12-31 in New York): it could be written, and
    whoever reads it, the engine above all, would fail for ever after.
    """
    return (moment.astimezone(UTC) - _EPOCH) // _MICROSECOND


def micros_or_none(moment: datetime | None) -> int | None:
    """Give a moment that may be missing."""
    return None if moment is None else micros(moment)


def moment(value: int) -> datetime:
    """Give a column's moment."""
    return _EPOCH + timedelta(microseconds=value)


def moment_or_none(value: int | None) -> datetime | None:
    """Give a column's moment that may be missing."""
    return None if value is None else _EPOCH + timedelta(microseconds=value)


def pack(value: Json) -> str:
    """Give a value as a column has it."""
    return _encode(value).decode()


def pack_or_none(value: Json | None) -> str | None:
    """Give a value that may be missing."""
    return None if value is None else _encode(value).decode()


def unpack(text: str | None) -> Json:
    """Give a column's value."""
    return None if text is None else _decode(text)


def fresh_id(now: datetime) -> str:
    """Make a UUID of version 7: by the millisecond, then by chance, so that ids made together lie together."""
    bits = (micros(now) // 1000 & (1 << 48) - 1) << 80 | int.from_bytes(urandom(10), "big")
    text = f"{bits & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


INSTANCE = (
    "i.key, i.id, i.run_key, r.dag_id, r.run_id, i.task_id, i.map_index, i.state, i.try_number, i.max_tries, i.queue, "
    "i.runtime, i.pool, i.pool_slots, i.priority, i.fence, i.worker, i.hostname, i.unixname, i.pid, i.queued_at, "
    "i.start_date, i.end_date, i.heartbeat_at, i.due, i.next_method, i.next_kwargs, i.trigger_id, "
    "i.rendered_map_index, i.kind, i.reason, i.resume_from, i.resume_stage, i.stalls, i.stop"
)
"""Select these `FROM instances i JOIN runs r ON r.key = i.run_key`."""

FROM_INSTANCES = "FROM instances i JOIN runs r ON r.key = i.run_key"
INSTANCE_WIDTH = len(Instance.__struct_fields__)


def instance(row: Row) -> Instance:
    """Make an instance of `INSTANCE`; columns that follow are left alone."""
    return Instance(
        key=row[0],
        id=row[1],
        run_key=row[2],
        dag_id=row[3],
        run_id=row[4],
        task_id=row[5],
        map_index=row[6],
        state=TaskInstanceState(row[7]),
        try_number=row[8],
        max_tries=row[9],
        queue=row[10],
        runtime=row[11],
        pool=row[12],
        pool_slots=row[13],
        priority=row[14],
        fence=row[15],
        worker=row[16],
        hostname=row[17],
        unixname=row[18],
        pid=row[19],
        queued_at=moment_or_none(row[20]),
        start_date=moment_or_none(row[21]),
        end_date=moment_or_none(row[22]),
        heartbeat_at=moment_or_none(row[23]),
        due=moment_or_none(row[24]),
        next_method=row[25],
        next_kwargs=unpack(row[26]),
        trigger_id=row[27],
        rendered_map_index=row[28],
        kind=_maybe(FailureKind, row[29]),
        reason=row[30],
        resume_from=ResumeFrom(row[31]),
        resume_stage=ResumeFrom(row[32]),
        stalls=row[33],
        stop=_maybe(StopReason, row[34]),
    )


def _maybe(make: Callable[[str], T], value: str | None) -> T | None:
    return None if value is None else make(value)


RUN = (
    "r.key, r.dag_id, r.run_id, r.state, r.run_type, r.logical_date, r.run_after, r.data_interval_start, "
    "r.data_interval_end, r.start_date, r.end_date, r.conf, r.params, r.triggering_user_name, r.partition_key, r.note, "
    "r.clear_number, r.context_carrier, r.created"
)
RUN_WIDTH = len(Run.__struct_fields__)


def run(row: Row) -> Run:
    """Make a run of `RUN`."""
    return Run(
        key=row[0],
        dag_id=row[1],
        run_id=row[2],
        state=DagRunState(row[3]),
        run_type=DagRunType(row[4]),
        logical_date=moment_or_none(row[5]),
        run_after=moment(row[6]),
        data_interval_start=moment_or_none(row[7]),
        data_interval_end=moment_or_none(row[8]),
        start_date=moment_or_none(row[9]),
        end_date=moment_or_none(row[10]),
        conf=unpack(row[11]),
        params=unpack(row[12]),
        triggering_user_name=row[13],
        partition_key=row[14],
        note=row[15],
        clear_number=row[16],
        context_carrier=unpack(row[17]),
        created=moment(row[18]),
    )


CHECKPOINT = "seq, attempt, created, progress, fingerprint, data, blob, reason"


def checkpoint(row: Row) -> Checkpoint:
    """Make a checkpoint of `CHECKPOINT`."""
    return Checkpoint(
        seq=row[0],
        attempt=row[1],
        created=moment(row[2]),
        progress=row[3],
        fingerprint=row[4],
        data=unpack(row[5]),
        blob=None if row[6] is None else msgspec.json.decode(row[6], type=BlobReference),
        reason=row[7],
    )


ATTEMPT = (
    "a.id, r.dag_id, r.run_id, i.task_id, i.map_index, a.try_number, a.state, a.worker, a.hostname, a.pid, "
    "a.queued_at, a.start_date, a.end_date, a.kind, a.reason"
)


def attempt(row: Row, *, current: bool) -> Attempt:
    """Make an attempt of `ATTEMPT`."""
    return Attempt(
        id=row[0],
        dag_id=row[1],
        run_id=row[2],
        task_id=row[3],
        map_index=row[4],
        try_number=row[5],
        state=TaskInstanceState(row[6]),
        current=current,
        worker=row[7],
        hostname=row[8],
        pid=row[9],
        queued_at=moment_or_none(row[10]),
        start_date=moment_or_none(row[11]),
        end_date=moment_or_none(row[12]),
        kind=_maybe(FailureKind, row[13]),
        reason=row[14],
    )
