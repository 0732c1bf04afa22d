"""Their models: the unions they speak in, how a model opens, and a sample of every way to fill one.

Samples are made from their own annotations, one field at a time: the full model, the bare one, and for each field each
alternative its type has. What a constraint of theirs refuses is not a sample.
"""

import types
import typing
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, get_args, get_origin
from uuid import UUID

pydantic = import_module("pydantic")
comms = import_module("airflow.sdk.execution_time.comms")
supervisor = import_module("airflow.sdk.execution_time.supervisor")
triggerer = import_module("airflow.jobs.triggerer_job_runner")
models_of_the_api = import_module("airflow.sdk.api.datamodels._generated")

UNIONS = {
    "ToSupervisor": supervisor.ToSupervisor,
    "ToTask": comms.ToTask,
    "ToTriggerSupervisor": triggerer.ToTriggerSupervisor,
    "ToTriggerRunner": triggerer.ToTriggerRunner,
}
REQUESTS = {"ToSupervisor", "ToTriggerSupervisor"}

MOMENTS = [
    datetime(2026, 11, 20, 8, 15, 30, 250_001, tzinfo=UTC),
    datetime(2026, 11, 20, 8, 15, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    datetime(1931, 2, 3, 4, 5, 6, 7, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]
JSON = ["text", 3, 1.5, True, None, [], {}, {"deep": [{"er": [1, "value", None, 2.5, False]}]}]
PLAIN: dict[object, list[Any]] = {
    str: ["text", "", "ünïcode \U0001f600 \x00"],
    int: [3, 0, -2, 2**40],
    float: [1.5, 0.0],
    bool: [True, False],
    bytes: [b"\x00\xff"],
    UUID: [UUID("01a1f76d-b884-70af-adc6-1a4bd7bdd018")],
    datetime: [*MOMENTS, datetime(2026, 11, 20, 8, 15, 30, 250_000)],  # noqa: DTZ001 - theirs takes naive ones here
    pydantic.AwareDatetime: MOMENTS,
    timedelta: [timedelta(minutes=5), timedelta(days=400, seconds=2.5), timedelta(0), timedelta(microseconds=1)],
    Path: [Path("/some/where")],
    pydantic.JsonValue: JSON,
    Any: [*JSON, MOMENTS[0], b"\x01"],
    dict: [{"key": [1, None]}, {}],
    list: [[1, "two"], []],
    types.NoneType: [None],
}


def members(union: str) -> list[Any]:
    """Give the models of a union of theirs."""
    return list(get_args(get_args(UNIONS[union])[0]))


def names(model: Any) -> dict[str, str]:
    """Give a model's fields by the names they have on the wire."""
    fields = model.model_fields
    # An event that ends its task makes its payload itself, and takes and says none.
    hidden = {"payload"} if hasattr(model, "ser_model") else set()
    return {info.alias or name: name for name, info in fields.items() if name not in hidden}


def opened(value: Any) -> dict[str, Any] | None:
    """Give a model as the map of what it says, under the names of the wire."""
    if isinstance(value, pydantic.RootModel):
        return value.root if isinstance(value.root, dict) else opened(value.root)
    if not isinstance(value, pydantic.BaseModel):
        return None
    said = value.model_dump(by_alias=True)
    return {key: getattr(value, name) for key, name in names(type(value)).items() if key in said}


def samples(model: Any) -> Iterator[Any]:
    """Give the full model, the bare one, and one for each alternative of each field."""
    fields = {
        key: (_choices(model, key, info), info.is_required())
        for (key, name) in names(model).items()
        for info in [model.model_fields[name]]
    }
    full = {key: choices[0] for key, (choices, _) in fields.items()}
    yield from _made(model, full)
    yield from _made(model, {key: choices[0] for key, (choices, required) in fields.items() if required})
    for key, (choices, _) in fields.items():
        for choice in choices[1:]:
            yield from _made(model, full | {key: choice})


def _choices(model: Any, key: str, info: Any) -> list[Any]:
    # What their own dump of a model cannot be read back with is kept out of all samples but its own.
    unspeakable = (model.__name__, key) == ("TIRunContext", "connections")
    return list(alternatives(info.annotation))[:: -1 if unspeakable else 1]


def _made(model: Any, values: dict[str, Any]) -> Iterator[Any]:
    # `type` is said even where it has a default: with `exclude_unset` their supervisor would leave it out, and says it.
    tag = {"type": model.__name__} if _tagged(model) else {}
    with suppress(ValueError, TypeError):
        yield model(**tag, **{key: value for key, value in values.items() if key not in tag})


def _tagged(model: Any) -> bool:
    field = model.model_fields.get("type")
    return field is not None and get_args(field.annotation) == (model.__name__,)


def alternatives(wanted: Any) -> Iterator[Any]:
    """Give a value for each alternative that a type has, the richest first."""
    if wanted in PLAIN:
        yield from PLAIN[wanted]
        return
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in CONTAINERS:
        yield from CONTAINERS[origin](arguments)
    elif issubclass(wanted, Enum):
        yield from wanted
    elif issubclass(wanted, tuple):
        hints = typing.get_type_hints(wanted, include_extras=True)
        yield from (wanted(*each) for each in _rows(tuple(hints.values())))
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


CONTAINERS: dict[object, Any] = {
    typing.Annotated: lambda of: alternatives(of[0]),
    typing.Union: lambda of: chain.from_iterable(alternatives(each) for each in of),
    types.UnionType: lambda of: chain.from_iterable(alternatives(each) for each in of),
    typing.Literal: iter,
    list: lambda of: _sizes(list(alternatives(of[0]))),
    set: lambda of: (set(some) for some in _sizes(list(alternatives(of[0])))),
    dict: lambda of: (
        {f"key {number}": each for number, each in enumerate(some)} for some in _sizes(list(alternatives(of[1])))
    ),
    tuple: lambda of: (tuple(row) for row in _rows(of)),
}
