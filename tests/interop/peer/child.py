"""Their child: the real `CommsDecoder` of a task, and the real one of a trigger runner, on a socket of ours."""

import asyncio
from importlib import import_module
from socket import AF_UNIX, socket
from typing import Any

from tests.interop.peer.models import comms, members, opened, samples, triggerer
from tests.interop.peer.plain import Plain, plain

AirflowRuntimeError = import_module("airflow.sdk.exceptions").AirflowRuntimeError


class _Open:
    """What is open now."""

    decoder: Any = None


def _connected(path: str) -> socket:
    channel = socket(AF_UNIX)
    channel.connect(path)
    return channel


def _sample(union: str, name: str) -> Any:
    return next(samples(next(model for model in members(union) if model.__name__ == name)))


def run(path: str) -> Plain:
    """Connect and take the greeting, as their task runner does first."""
    _Open.decoder = comms.CommsDecoder(socket=_connected(path))
    return plain(_Open.decoder._get_response(), opened)  # noqa: SLF001 - their own path


def ask(type: str) -> Plain:  # noqa: A002 - the name it has on the wire
    """Ask, and give the reply, None for an acknowledgement, or the error that was raised."""
    question = _sample("ToSupervisor", type)
    try:
        reply = _Open.decoder.send(question)
    except AirflowRuntimeError as error:
        return {"asked": plain(question, opened), "raised": plain(error.error, opened)}
    return {"asked": plain(question, opened), "type": type_name(reply), "reply": plain(reply, opened)}


def type_name(reply: Any) -> str | None:
    """Name a reply."""
    return None if reply is None else type(reply).__name__


def trigger(path: str, types: list[str]) -> Plain:
    """Connect as a trigger runner, take the greeting, ask everything at once, give what came of each."""
    return asyncio.run(_trigger(path, types))


async def _trigger(path: str, types: list[str]) -> Plain:
    channel = _connected(path)
    reader, writer = await asyncio.open_connection(sock=channel)
    decoder = triggerer.TriggerCommsDecoder(socket=channel, async_writer=writer, async_reader=reader)
    greeting = decoder._from_frame(await decoder._aread_frame())  # noqa: SLF001 - their own path
    await decoder.start_reader()
    questions = [_sample("ToTriggerSupervisor", name) for name in types]
    replies = await asyncio.gather(*(decoder.asend(question) for question in questions), return_exceptions=True)
    writer.close()
    return {"greeting": plain(greeting, opened), "replies": [_came(each) for each in replies]}


def _came(reply: Any) -> Plain:
    if isinstance(reply, AirflowRuntimeError):
        return {"raised": plain(reply.error, opened)}
    if isinstance(reply, BaseException):
        return {"unreadable": type(reply).__name__}
    return {"type": type_name(reply), "reply": plain(reply, opened)}


def end() -> None:
    """Close."""
    if _Open.decoder is not None:
        _Open.decoder.socket.close()
    _Open.decoder = None
