"""Values on the wire: what becomes what, and whose fault it is when it cannot.

msgspec already gives Airflow's forms: aware datetimes as msgpack timestamps in UTC, naive ones as ISO 8601 strings,
UUIDs as dashed strings, timedeltas as ISO 8601 durations, enums as their values, sets and tuples as arrays, bytes as
bin. This adds paths, and turns every failure into one of ours.
"""

from datetime import timedelta
from math import isfinite
from typing import Any

import msgspec

from protocol.errors import LocalProtocolError

LONGEST = timedelta.max.total_seconds()


def _known(value: Any) -> object:  # noqa: ANN401 - what has no form of its own may be anything
    try:
        return value.__fspath__()
    except Exception as error:  # an object may raise anything when it is looked at
        raise NotImplementedError(f"a {type(value).__qualname__} has no form on the wire") from error


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
    """Give a value's JSON: timestamps as RFC 3339 strings, bytes as base64. NaN and infinity have none.

    msgspec would write them as null: a task's result that is not a number would be nothing at all for whoever reads it.
    """
    try:
        data = _json_encoder.encode(value)
    except UNENCODABLE as error:
        raise LocalProtocolError(f"cannot encode a {type(value).__qualname__} as JSON: {error}") from error
    if b"null" in data and not _is_finite(value):
        raise LocalProtocolError(f"cannot encode a {type(value).__qualname__} as JSON: NaN and infinity have no form")
    return data


def _is_finite(value: object) -> bool:
    """Look for a float that is none. Only where there is a null is it worth a walk through everything."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, float):
            if not isfinite(each):
                return False
        elif isinstance(each, dict):
            left += each.values()
        elif isinstance(each, list | tuple | set | frozenset):
            left += each
        elif isinstance(each, msgspec.Struct):
            left += (getattr(each, name) for name in each.__struct_fields__)
    return True


def to_body(message: msgspec.Struct) -> dict[str, Any]:
    """Give a message as the map it is on the wire, for a step between versions."""
    body: dict[str, Any] = msgspec.msgpack.decode(encode(message))
    return body


def seconds(duration: timedelta | float) -> float:
    """Give a duration in seconds, whichever of its two forms it came in."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def iso_duration(duration: timedelta | float) -> str:
    """Give a duration in the form an API takes: `PT3602.5S`."""
    total = seconds(duration)
    if not abs(total) < LONGEST:  # neither NaN nor infinite either
        raise LocalProtocolError(f"{total} s is no duration")
    return f"{'-' if total < 0 else ''}PT{abs(total):.6f}".rstrip("0").rstrip(".") + "S"
