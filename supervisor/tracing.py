"""Whose span a call belongs to: the W3C headers of a carrier. Core.

A carrier comes from a child, so it is not copied but read: what is no `traceparent` is left out, and with it the rest.
"""

import re
from collections.abc import Mapping

_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_STATE = re.compile(r"[\x20-\x7e]{1,512}")


def lines_of(carrier: Mapping[str, object] | None) -> bytes:
    """Give the header lines of a carrier; none where there is no trace."""
    parent, state = (carrier or {}).get("traceparent"), (carrier or {}).get("tracestate")
    if not isinstance(parent, str) or _PARENT.fullmatch(parent) is None:
        return b""
    lines = f"traceparent: {parent}\r\n"
    if isinstance(state, str) and _STATE.fullmatch(state) is not None:
        lines += f"tracestate: {state}\r\n"
    return lines.encode("ascii")
