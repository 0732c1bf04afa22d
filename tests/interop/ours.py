"""Our messages, for comparison: how one opens, a sample of every way to fill it, and how it is compared with theirs."""

import types
import typing
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from itertools import chain
from typing import Any, Literal, get_args, get_origin

from msgspec import NODEFAULT, UNSET, Struct
from msgspec.structs import FieldInfo, fields

from protocol.messages.triggers import TriggerEvent
from protocol.values import seconds
from protocol.vocabulary import TASK, TRIGGERER, Vocabulary
from tests.interop.peer.plain import Plain, plain
from tests.protocol.samples import MOMENT, PLAIN

UNIONS: dict[str, Vocabulary] = {
    "ToSupervisor": TASK,
    "ToTask": TASK,
    "ToTriggerSupervisor": TRIGGERER,
    "ToTriggerRunner": TRIGGERER,
}
"""The peers' names for the two directions of our two vocabularies."""
QUESTIONS = ("ToSupervisor", "ToTriggerSupervisor")

JSON = [{"any": [1, "value", None, {"deep": [2.5, False]}]}, "text", 3, 1.5, True, [], {}]
MORE: dict[object, list[Any]] = {
    **{kind: [value] for kind, value in PLAIN.items()},
    Any: JSON,
    str: ["text", "", "ünïcode \U0001f600 \x00"],
    int: [3, 0, 2**40],
    bool: [True, False],
    datetime: [
        MOMENT,
        datetime(2026, 11, 20, 8, 15, 30, tzinfo=timezone(timedelta(hours=-9, minutes=-30))),
        datetime(1931, 2, 3, 4, 5, 6, 7, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
    timedelta: [timedelta(minutes=5), timedelta(days=400, seconds=2.5), timedelta(0), timedelta(microseconds=1)],
}
MORE[TriggerEvent] = [
    *(TriggerEvent(payload) for payload in [*JSON, None]),
    TriggerEvent(task_instance_state="success", xcoms={"rows": 3, "none": None}),
    TriggerEvent(task_instance_state="failed"),
    TriggerEvent(task_instance_state="skipped", xcoms={}),
]


def opened(value: Any) -> dict[str, Any] | None:
    """Give a message as the map of what it says, under the names of the wire."""
    if not isinstance(value, Struct):
        return None
    every = {field.encode_name: getattr(value, field.name) for field in fields(value)}
    said = {key: each for key, each in every.items() if each is not UNSET}
    config = value.__struct_config__
    return said if config.tag is None else {str(config.tag_field): config.tag, **said}


def samples(message: type[Struct]) -> Iterator[Any]:
    """Give the full message, the bare one, and one for each alternative of each field."""
    every = {field.name: list(alternatives(field.type)) for field in fields(message)}
    full = {name: choices[0] for name, choices in every.items()}
    yield message(**full)
    yield message(**{field.name: full[field.name] for field in fields(message) if field.required})
    for name, choices in every.items():
        for choice in choices[1:]:
            yield message(**full | {name: choice})


def alternatives(wanted: Any) -> Iterator[Any]:
    """Give a value for each alternative that a type has, the richest first."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if wanted in MORE:
        yield from MORE[wanted]
    elif origin in SEVERAL:
        yield from SEVERAL[origin](arguments)
    elif issubclass(wanted, Enum):
        yield from wanted
    elif issubclass(wanted, tuple):
        hints = typing.get_type_hints(wanted, include_extras=True)
        yield from (wanted(*row) for row in _rows(tuple(hints.values())))
    else:
        yield from samples(wanted)


def _rows(of: tuple[Any, ...]) -> Iterator[list[Any]]:
    columns = [list(alternatives(each)) for each in of]
    first = [column[0] for column in columns]
    yield first
    for place, column in enumerate(columns):
        yield from ([*first[:place], other, *first[place + 1 :]] for other in column[1:])


def _sizes(items: list[Any]) -> Iterator[list[Any]]:
    """Give a container's contents: each alone, two, none."""
    yield from ([each] for each in items)
    yield items[:2]
    yield []


SEVERAL: dict[object, Any] = {
    typing.Annotated: lambda of: alternatives(of[0]),
    typing.Union: lambda of: chain.from_iterable(alternatives(each) for each in of),
    types.UnionType: lambda of: chain.from_iterable(alternatives(each) for each in of),
    Literal: iter,
    list: lambda of: _sizes(list(alternatives(of[0]))),
    set: lambda of: (set(some) for some in _sizes(list(alternatives(of[0])))),
    dict: lambda of: (
        {f"key {number}": each for number, each in enumerate(some)} for some in _sizes(list(alternatives(of[1])))
    ),
    tuple: lambda of: (tuple(row) for row in _rows(of)),
}


def unlike(our: Any, their: Plain, at: str = "") -> Iterator[str]:
    """Say where a message of ours is not what theirs says; what only ours has must be as if it were not there."""
    if isinstance(our, Struct) and isinstance(their, dict):
        yield from _unlike_models(our, their, at)
    elif isinstance(our, list | tuple) and isinstance(their, list) and len(our) == len(their):
        for place, pair in enumerate(zip(our, their, strict=True)):
            yield from unlike(*pair, f"{at}[{place}]")
    elif isinstance(their, dict) and "$seconds" in their and our is not None:
        if seconds(our) != their["$seconds"]:
            yield f"{at}: {our!r} and {their!r}"
    elif plain(our, opened) != their:
        yield f"{at}: {our!r} and {their!r}"


def _unlike_models(our: Struct, their: dict[str, Plain], at: str) -> Iterator[str]:
    said = opened(our) or {}
    absent = {field.encode_name: _default(field) for field in fields(our)}
    for key in {**said, **their}:
        if key not in said:
            yield f"{at}.{key}: only theirs"
        elif key not in their:
            if said[key] != absent.get(key, NODEFAULT):
                yield f"{at}.{key}: only ours, {said[key]!r}"
        else:
            yield from unlike(said[key], their[key], f"{at}.{key}")


def _default(field: FieldInfo) -> object:
    return field.default if field.default_factory is NODEFAULT else field.default_factory()
