"""Paths of the API, quoted. Whatever a name holds (`/`, `?`, `#`, `%`, `..`), it stays one segment of the path."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from msgspec import json

Value = str | int | float | bool | datetime | UUID | None
SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
DOTS = {".": "%2E", "..": "%2E%2E"}
"""Segments that a proxy would resolve, and that must reach the server as they are."""


def quote(text: str) -> str:
    """Quote one segment, or one value of a query."""
    data = text.encode("utf-8", "surrogatepass")
    if SAFE.issuperset(data):
        return DOTS.get(text, text)
    return "".join(chr(byte) if byte in SAFE else f"%{byte:02X}" for byte in data)


def path(*segments: str | int | UUID) -> str:
    """Give a path below the API's root."""
    return "/" + "/".join(quote(str(segment)) for segment in segments)


def query(**values: Value | Iterable[Value]) -> str:
    """Give a query with its question mark; what is None is left out, and a list is repeated."""
    pairs = [
        f"{key}={quote(_text(item))}"
        for key, value in values.items()
        for item in (value if isinstance(value, list | tuple) else (value,))
        if item is not None
    ]
    return f"?{'&'.join(pairs)}" if pairs else ""


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return json.decode(json.encode(value), type=str)
    return str(value)
