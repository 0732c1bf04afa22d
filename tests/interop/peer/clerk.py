"""Their supervisor, answering one question at a time on a socket of ours."""

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from socket import AF_UNIX, socket
from typing import Any

from tests.interop.peer.desk import Server, desk_at
from tests.interop.peer.models import comms, opened, samples, supervisor, triggerer
from tests.interop.peer.plain import Plain, plain

structlog = import_module("structlog")


class _Open:
    """What is open now."""

    channel: socket | None = None
    server = Server()
    callback: Any = None
    handled = 0


def _counted(desk: Any) -> Iterator[None]:
    """Pass each request on to their handler, and count it."""
    handler = desk.handle_requests(structlog.get_logger())
    next(handler)
    while True:
        handler.send((yield))
        _Open.handled += 1


def supervise(path: str, *, triggers: bool = False, greet: bool = False) -> Plain:
    """Connect as their supervisor; give the greeting that was sent."""
    _Open.channel = socket(AF_UNIX)
    _Open.channel.connect(path)
    _Open.server = Server()
    desk = desk_at(_Open.channel, _Open.server, triggers=triggers)
    _Open.callback, _ = supervisor.length_prefixed_frame_reader(_counted(desk), on_close=None)
    if not greet:
        return None
    greeting = triggerer.messages.StartTriggerer() if triggers else next(samples(comms.StartupDetails))
    desk.send_msg(greeting, request_id=0)
    return plain(greeting, opened)


def serve(status: int = 200) -> Plain:
    """Take one question; give the requests it made of the API server."""
    _Open.server.status = status
    _Open.server.requests.clear()
    _Open.handled = 0
    while not _Open.handled:
        assert _Open.callback(_Open.channel), "the socket was closed"
    return {"requests": list(_Open.server.requests)}


def end() -> None:
    """Close."""
    if _Open.channel is not None:
        with suppress(OSError):
            _Open.channel.close()
    _Open.channel = None
