"""Values as JSON that keeps apart what JSON mixes up, so that theirs and ours can be compared exactly.

A moment, a duration, an identity, bytes and a float each become a map with one key that says which they are; a model
becomes the map of its fields. Both sides use this, each with its own way to open a model.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

Plain = Any
Open = Callable[[Any], dict[str, Any] | None]

FORMS: dict[type, Callable[[Any], Plain]] = {
    datetime: lambda value: (
        {"$moment": value.astimezone(UTC).isoformat()} if value.tzinfo else {"$naive": value.isoformat()}
    ),
    timedelta: lambda value: {"$seconds": value.total_seconds()},
    UUID: lambda value: {"$uuid": str(value)},
    bytes: lambda value: {"$bytes": value.hex()},
    float: lambda value: {"$float": repr(value)},
    PurePath: str,
    bool: bool,
    int: int,
    str: str,
}


def plain(value: Any, opened: Open) -> Plain:
    """Give a value's comparable form."""
    if isinstance(value, Enum):
        return plain(value.value, opened)
    if value is None:
        return None
    for kind, form in FORMS.items():
        if isinstance(value, kind):
            return form(value)
    if isinstance(value, set | frozenset):
        return sorted(plain(each, opened) for each in value)
    if isinstance(value, list | tuple):
        return [plain(each, opened) for each in value]
    inside = value if isinstance(value, dict) else opened(value)
    if inside is None:
        raise TypeError(f"no plain form of {value!r}")
    return {key: plain(each, opened) for key, each in inside.items()}
