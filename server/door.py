"""What happens to every request before routing and to every answer after: versions, correlation, paths, counting.

It is plain ASGI around Litestar, because all of this has to hold for answers that no route makes, too.

Paths. A path is split into segments before it is decoded, so that a run id with `%2F` stays one segment. Four routes
end in a key that may have slashes, which clients send unquoted: there the rest of the path is quoted into one
segment. And where a name stands beside fixed words (`dag-runs/count`), a name that is such a word is quoted into a
form that routing does not take for the word. Routes decode their parameters afterwards (`server/admission.py`).
"""

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, unquote

from server.refusals import body_of
from server.versions import HEAD, UnknownVersion, served

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]
Observer = Callable[[str, str, int, float], None]

EXECUTION = "/execution"

_KEYED = re.compile(
    r"(?P<fixed>/execution/(?:variables/|connections/|store/ti/[^/]+/|xcoms/[^/]+/[^/]+/[^/]+/)"
    r"|/api/(?:variables/|connections/))(?P<key>.+?)(?P<end>(?<=.)/item/-?[0-9]+|(?<=.)/slice)?"
)
_NAMED = re.compile(r"(?P<fixed>/execution/dag-runs/)(?P<name>count|previous)(?P<rest>/.+)")
_MARK = "taskhand"


def plain(path: str) -> str:
    """Give a raw path the form in which routing takes it apart rightly."""
    if keyed := _KEYED.fullmatch(path):
        ends = keyed["fixed"].startswith("/execution/xcoms/")
        key, end = (keyed["key"], keyed["end"] or "") if ends else (keyed["key"] + (keyed["end"] or ""), "")
        if "/" in key or key in {".", ".."}:
            key = quote(unquote(key), safe="")
        return f"{keyed['fixed']}{key}{end}"
    if named := _NAMED.fullmatch(path):
        return f"{named['fixed']}%{ord(named['name'][0]):02X}{named['name'][1:]}{named['rest']}"
    return path


class Door:
    """The outermost application."""

    def __init__(self, app: App, observe: Observer) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, and its answer out."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        path = plain(raw.partition(b"?")[0].decode("latin-1"))
        scope["path"] = path
        added: list[tuple[bytes, bytes]] = []
        notes: dict[str, Any] = {"version": HEAD, "headers": added}
        scope.setdefault("state", {})[_MARK] = notes
        refused = self._read(scope, path, notes)
        status = 0

        async def sends(event: dict[str, Any]) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
                event["headers"] = [*event["headers"], *added]
            await send(event)

        try:
            if refused is not None:
                await _refuse(refused, sends)
            else:
                await self._app(scope, receive, sends)
        finally:
            route = scope.get("path_template") or ""
            self._observe(scope["method"], str(route), status, time.perf_counter() - began)

    def _read(self, scope: Scope, path: str, notes: dict[str, Any]) -> UnknownVersion | None:
        """Read the headers that concern every route."""
        added = notes["headers"]
        for name, value in scope["headers"]:
            if name == b"correlation-id" and len(value) <= 200:  # noqa: PLR2004 - longer ones identify nothing
                added.append((name, value))
            elif name == b"authorization":
                notes["authorization"] = value
            elif name == b"airflow-api-version" and path.startswith(EXECUTION):
                try:
                    notes["version"] = served(value.decode("latin-1"))
                except UnknownVersion as error:
                    return error
                added.append((b"airflow-api-version", value))
        return None


async def _refuse(error: UnknownVersion, send: Send) -> None:
    body = body_of({"reason": "version", "message": error.message})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def notes_of(scope: Any) -> dict[str, Any]:  # noqa: ANN401 - Litestar's scope, or a plain one
    """Give what the door noted about a request, and where headers for its answer are put."""
    notes: dict[str, Any] = scope["state"][_MARK]
    return notes
