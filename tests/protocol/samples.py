"""One of each: a valid message of every type, made from its own fields, and the greeting by hand."""

import types
import typing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from protocol.messages.checkpoints import BlobReference
from protocol.messages.runs import DagRun, DagRunState, DagRunType
from protocol.messages.shape import Message
from protocol.messages.startup import BundleInfo, StartupDetails, TaskInstance, TIRunContext
from protocol.messages.triggers import TriggerEvent
from protocol.vocabulary import ANSWERS, PARSING, TASK, TRIGGERER

MOMENT = datetime(2026, 11, 20, 8, 15, 30, 250_000, tzinfo=UTC)
IDENTITY = UUID("01a1f76d-b884-70af-adc6-1a4bd7bdd018")

RUN = DagRun(
    dag_id="flow",
    run_id="manual__1",
    logical_date=None,
    data_interval_start=None,
    data_interval_end=None,
    run_after=MOMENT,
    start_date=MOMENT,
    end_date=None,
    run_type=DagRunType.MANUAL,
    state=DagRunState.RUNNING,
    consumed_asset_events=[],
    partition_key=None,
)
GREETING = StartupDetails(
    ti=TaskInstance(IDENTITY, "task", "flow", "manual__1", 1, IDENTITY),
    dag_rel_path="flow.py",
    bundle_info=BundleInfo("local"),
    start_date=MOMENT,
    ti_context=TIRunContext(RUN, max_tries=1),
    sentry_integration="",
)

# What its own fields alone do not say how to fill.
WHOLE: dict[type[Struct], Struct] = {
    BlobReference: BlobReference("file:///blob", "0" * 64, 3),
    TriggerEvent: TriggerEvent({"rows": 3}),
}
PLAIN: dict[object, object] = {
    str: "text",
    int: 3,
    float: 1.5,
    bool: True,
    UUID: IDENTITY,
    datetime: MOMENT,
    timedelta: timedelta(minutes=5),
    Any: {"any": [1, "value", None]},
    types.NoneType: None,
}


def every_message() -> list[type[Message]]:
    """Every message of every vocabulary, in a stable order."""
    members = {TASK.greeting, TRIGGERER.greeting, *ANSWERS, *TASK.replies, *TRIGGERER.replies, *PARSING}
    return sorted(members, key=lambda member: member.__name__)


def full(message: type[Struct]) -> Any:
    """A message with every field set."""
    if message in WHOLE:
        return WHOLE[message]
    return message(**{field.encode_name: value_of(field.type) for field in fields(message)})


def bare(message: type[Struct]) -> Any:
    """A message with only what it needs."""
    return message(**{field.encode_name: value_of(field.type) for field in fields(message) if field.required})


def value_of(wanted: Any) -> Any:
    """A value of a type, the richest alternative of a union."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if wanted in PLAIN:
        return PLAIN[wanted]
    if origin in CONTAINERS:
        return CONTAINERS[origin](arguments)
    if issubclass(wanted, Enum):
        return next(iter(wanted))
    if issubclass(wanted, tuple):
        return wanted(*(value_of(hint) for hint in typing.get_type_hints(wanted, include_extras=True).values()))
    return full(wanted)


CONTAINERS: dict[object, Callable[[tuple[Any, ...]], Any]] = {
    typing.Annotated: lambda of: value_of(of[0]),
    typing.Union: lambda of: value_of(of[0]),
    types.UnionType: lambda of: value_of(of[0]),
    Literal: lambda of: of[0],
    list: lambda of: [value_of(of[0])],
    set: lambda of: {value_of(of[0])},
    dict: lambda of: {"key": value_of(of[1])},
    tuple: lambda of: tuple(value_of(each) for each in of),
}


def as_map(message: Struct) -> dict[str, Any]:
    """A message as the map it is on the wire."""
    decoded: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
    return decoded
