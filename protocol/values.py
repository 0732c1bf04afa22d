"""Values on the wire: what becomes what, and whose fault it is when it cannot.

msgspec already gives Airflow's forms: aware datetimes as msgpack timestamps in UTC, naive ones as ISO 8601 strings,
UUIDs as dashed strings, timedeltas as ISO 8601 durations, enums as their values, sets and tuples as arrays, bytes as
bin. This adds paths, and turns every failure into one of ours.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from protocol.errors import LocalProtocolError


def _known(value: object) -> object:
    path = getattr(value, "__fspath__", None)
    if path is not None:
        return path()
    raise NotImplementedError(f"a {type(value).__qualname__} has no form on the wire")


encoder = msgspec.msgpack.Encoder(enc_hook=_known)
_json_encoder = msgspec.json.Encoder(enc_hook=_known)
UNENCODABLE = (NotImplementedError, TypeError, ValueError, OverflowError, RecursionError, msgspec.EncodeError)


def encode(value: object) -> bytes:
    """Give a value's msgpack."""
    try:
        return encoder.encode(value)
    except UNENCODABLE as error:
        raise LocalProtocolError(f"cannot encode a {type(value).__qualname__}: {error}") from error


def encode_json(value: object) -> bytes:
    """Give a value's JSON: timestamps as RFC 3339 strings, bytes as base64."""
    try:
        return _json_encoder.encode(value)
    except UNENCODABLE as error:
        raise LocalProtocolError(f"cannot encode a {type(value).__qualname__} as JSON: {error}") from error


def to_body(message: msgspec.Struct) -> dict[str, Any]:
    """Give a message as the map it is on the wire, for a step between versions."""
    body: dict[str, Any] = msgspec.to_builtins(message, builtin_types=(datetime, bytes), enc_hook=_known)
    return body


def seconds(duration: timedelta | float) -> float:
    """Give a duration in seconds, whichever of its two forms it came in."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def iso_duration(duration: timedelta | float) -> str:
    """Give a duration in the form we write: `PT3602.5S`."""
    total = seconds(duration)
    return f"PT{total:.6f}".rstrip("0").rstrip(".") + "S"
