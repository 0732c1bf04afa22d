"""How a request is refused: every answer from 400 on has the body `{"detail": …}`, whoever raised what.

A domain error is a map with `reason` and `message`; a token that is not good enough is a text; a request that could
not be understood is a list of faults. Nothing that a request can hold leads to a 5xx.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap
from msgspec.structs import replace

from protocol.http.errors import Fault
from protocol.messages.shape import Json
from server.faults import (
    Archived,
    CallerError,
    Conflict,
    NotFound,
    Refused,
    StoreBroken,
    StoreError,
    StoreFull,
    StoreLocked,
)

log = logging.getLogger("server")

JSON = "application/json"
_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<key>key in )?\$(?P<path>.*)`)?$", re.DOTALL)
_PART = re.compile(r"\[(\d+|\.\.\.)\]|\.?([^.\[\]]+)")


class Refusal(Exception):
    """An answer that is not the one that was asked for."""

    def __init__(self, status: int, detail: Json, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail
        self.headers = headers


def refused(status: int, reason: str, message: str, **more: Json) -> Refusal:
    """Make a domain error."""
    return Refusal(status, {"reason": reason, "message": message, **more})


def invalid(*faults: Fault) -> Refusal:
    """Make the answer to a request that could not be understood."""
    return Refusal(422, list(faults))


def fault_of(error: Exception, where: str) -> Fault:
    """Say what msgspec found, and where, in the terms of 4.1."""
    if not isinstance(error, msgspec.ValidationError):
        return Fault("json_invalid", [where], f"not JSON: {error}")
    found = _AT.match(str(error))
    what, path = (found["what"], found["path"] or "") if found else (str(error), "")
    loc: list[str | int] = [where]
    for index, key in _PART.findall(path):
        loc.append(int(index) if index.isdecimal() else key or "*")
    if missing := re.fullmatch(r"Object missing required field `(.+)`", what):
        return Fault("missing", [*loc, missing[1]], "Field required")
    if surplus := re.fullmatch(r"Object contains unknown field `(.+)`", what):
        return Fault("extra_forbidden", [*loc, surplus[1]], "Extra inputs are not permitted")
    return Fault("value_error", loc, f"{what}{_advice(what)}")


# Both standards are kept to: RFC 3339 has no time without seconds, and how long a month is depends on when it begins. A
# week (`P1W`) ISO 8601 does allow, alone; nothing that Airflow's client sends has one, and msgspec takes none.
_ADVICE = {
    "Invalid RFC3339": ": write it with seconds and an offset, such as 2026-11-20T10:00:00Z",
    "Expected `datetime` with a timezone": ": end it with Z or an offset, such as +01:00",
    "Only units 'D'": ": write P7D for P1W, and days for months and years",
    "Invalid ISO8601 duration": ": write it as PT300S or P1DT2H, or as a number of seconds",
}


def _advice(what: str) -> str:
    """Say how a value is written that its writer took for one."""
    return next((advice for beginning, advice in _ADVICE.items() if what.startswith(beginning)), "")


def body_of(detail: Json) -> bytes:
    """Encode the body."""
    return msgspec.json.encode({"detail": detail})


def _answer(status: int, detail: Json, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    return Response(body_of(detail), status_code=status, media_type=JSON, headers=dict(headers or {}))


def on_refusal(_: Request[Any, Any, Any], error: Refusal) -> Response[bytes]:
    """Answer what a route refused."""
    return _answer(error.status, error.detail, error.headers)


_STATUS: dict[type[CallerError], int] = {NotFound: 404, Archived: 404, Conflict: 409, Refused: 422}
_REFUSED_AS = {"too_large": 413}


def on_caller_error(_: Request[Any, Any, Any], error: CallerError) -> Response[bytes]:
    """Answer what the store refused."""
    status = _REFUSED_AS.get(error.reason, _STATUS[type(error)])
    return _answer(status, {"reason": error.reason, "message": error.message, **error.detail})


_WHAT_IT_DOES: dict[type[StoreError], str] = {StoreFull: "is full", StoreLocked: "is locked by another process"}


def on_store_error(_: Request[Any, Any, Any], error: StoreError) -> Response[bytes]:
    """The database failed us: come again."""
    log.error("store: %s", error)
    words = _WHAT_IT_DOES.get(type(error), "does not answer")
    detail = {"reason": "store_unavailable", "message": f"the server's database {words}"}
    return _answer(503, detail, {"retry-after": "1"})


_REASONS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
}


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what Litestar refused: a body or a query that does not fit is 422, with its faults."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, msgspec.MsgspecError):
            return _answer(422, [_placed(fault_of(cause, "body"))])
        if isinstance(cause, UnicodeDecodeError):
            return _answer(422, [Fault("json_invalid", ["body"], "not UTF-8")])
        cause = cause.__cause__
    if error.status_code == 400 and isinstance(error.extra, list):  # noqa: PLR2004 - Bad Request
        return _answer(422, [_fault_in(message) for message in error.extra])
    if error.status_code == 400:  # noqa: PLR2004 - Bad Request
        return _answer(422, [Fault("value_error", ["request"], error.detail)])
    if error.status_code == 404:  # noqa: PLR2004 - Not Found
        return _answer(404, {"reason": "not_found", "message": f"there is no {request.url.path}"})
    reason = _REASONS.get(error.status_code, "refused")
    message = error.detail if reason != "too_large" else _too_long(request)
    return _answer(error.status_code, {"reason": reason, "message": message}, error.headers)


def _too_long(request: Request[Any, Any, Any]) -> str:
    return f"the body is longer than {request.app.request_max_body_size} bytes, the limit"


def _placed(fault: Fault) -> Fault:
    """Say which part of a request is meant: Litestar reads all into one struct, whose field `data` is the body."""
    first, *rest = fault.loc[1:] or [""]
    if first == "data":
        return replace(fault, loc=["body", *rest])
    if isinstance(first, str) and first not in {"", "*"}:
        return replace(fault, loc=["query", first, *rest])
    return fault


def _fault_in(message: Mapping[str, Any]) -> Fault:
    key = [str(message["key"])] if "key" in message else []
    loc: list[str | int] = [str(message.get("source", "request")), *key]
    what = str(message.get("message", ""))
    return Fault("value_error", loc, f"{what}{_advice(what)}")


def on_too_deep(_: Request[Any, Any, Any], __: RecursionError) -> Response[bytes]:
    """JSON in JSON in JSON, deeper than our stack: only a request makes us go so deep."""
    return _answer(422, [Fault("json_invalid", ["body"], "nested too deeply")])


def on_anything(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Our own mistake: it is logged with its traceback, and the answer says only that."""
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    return _answer(500, {"reason": "server_error", "message": "the server failed; its log says how"})


HANDLERS: ExceptionHandlersMap = {
    Refusal: on_refusal,
    CallerError: on_caller_error,
    StoreError: on_store_error,
    StoreBroken: on_store_error,
    HTTPException: on_http_exception,
    RecursionError: on_too_deep,
    Exception: on_anything,
}
