"""Their supervisor, answering one question at a time on a socket of ours."""

from contextlib import suppress
from importlib import import_module
from socket import AF_UNIX, socket
from typing import Any

from tests.interop.peer.desk import Server, callback_of, desk_at
from tests.interop.peer.models import comms, opened, samples, triggerer
from tests.interop.peer.plain import Plain, plain

structlog = import_module("structlog")


class _Open:
    """What is open now."""

    channel: socket | None = None
    server = Server()
    callback: Any = None
    handled = 0


def supervise(path: str, *, triggers: bool = False, greet: bool = False) -> Plain:
    """Connect as their supervisor; give the greeting that was sent."""
    _Open.channel = socket(AF_UNIX)
    _Open.channel.connect(path)
    _Open.server = Server()
    desk = desk_at(_Open.channel, _Open.server, triggers=triggers)
    real = desk.handle_requests

    def counted(log: Any) -> Any:
        inner = real(log)
        next(inner)
        while True:
            inner.send((yield))
            _Open.handled += 1

    _Open.callback = callback_of(counted(structlog.get_logger()))
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
