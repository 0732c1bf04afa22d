"""Their bytes, by their own paths: the child's frame maker and reader, the supervisor's frame reader and sender."""

from collections.abc import Iterator
from contextlib import closing
from socket import SO_SNDBUF, SOL_SOCKET, socketpair
from typing import Any

from tests.interop.peer.desk import desk_at
from tests.interop.peer.models import REQUESTS, UNIONS, comms, members, opened, pydantic, samples, supervisor
from tests.interop.peer.plain import Plain, plain

SPARSE = {
    "AssetEventsResult",
    "AssetResult",
    "ConnectionResult",
    "HITLDetailRequestResult",
    "InactiveAssetsResult",
    "PrevSuccessfulDagRunResult",
    "VariableKeysResult",
    "VariableResult",
    "XComResult",
}
"""What their supervisor sends without its unset fields."""
ROOM = 1 << 21
"""As much as one frame of the samples needs, so that it is written before it is read."""
CARRIER = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


def write(union: str) -> Iterator[Plain]:
    """Make a frame of every sample of a union's messages."""
    for model in members(union):
        for number, message in enumerate(samples(model)):
            made = _request if union in REQUESTS else _reply
            frame, carrier = made(message, number)
            said = {"type": model.__name__, "id": number, "carrier": carrier, "value": plain(message, opened)}
            yield said | {"hex": frame.hex()}


def _request(message: Any, number: int) -> tuple[bytes, Plain]:
    carrier = CARRIER if number % 2 else None
    frame = comms._RequestFrame(id=number, body=message.model_dump(), context_carrier=carrier)  # noqa: SLF001 - their own path
    return bytes(frame.as_bytes()), carrier


def _reply(message: Any, number: int) -> tuple[bytes, None]:
    """Have their supervisor send it, with the options it uses for such a message."""
    options = {"exclude_unset": True} if type(message).__name__ in SPARSE else {}
    if type(message).__name__ == "ConnectionResult":
        options["by_alias"] = True
    ours, theirs = socketpair()
    with closing(ours), closing(theirs):
        ours.setblocking(False)  # noqa: FBT003 - the socket's own signature
        theirs.setsockopt(SOL_SOCKET, SO_SNDBUF, ROOM)
        desk_at(theirs).send_msg(message, request_id=number, **options)
        return ours.recv(ROOM), None


def read(union: str, frames: list[str]) -> Iterator[Plain]:
    """Read frames as their child or their supervisor would, into the models of a union."""
    take = _questions if union in REQUESTS else _answers
    adapter = pydantic.TypeAdapter(UNIONS[union])
    for frame in frames:
        try:
            yield take(bytes.fromhex(frame), adapter)
        except Exception as error:  # noqa: BLE001 - whatever theirs raises, it did not understand us
            yield {"refused": _why(error)}


def _why(error: Any) -> str:
    if not isinstance(error, pydantic.ValidationError):
        return f"{type(error).__name__}: {error}"
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}"[:300] for each in error.errors())


def _answers(frame: bytes, adapter: Any) -> Plain:
    ours, theirs = socketpair()
    with closing(ours), closing(theirs):
        ours.setsockopt(SOL_SOCKET, SO_SNDBUF, ROOM)
        ours.sendall(frame)
        decoder = comms.CommsDecoder(socket=theirs, body_decoder=adapter)
        read_frame = decoder._read_frame()  # noqa: SLF001 - their own path
        message = decoder._from_frame(read_frame)  # noqa: SLF001 - their own path
        return {"id": read_frame.id, "type": type(message).__name__, "value": plain(message, opened)}


def _question(frame: bytes, adapter: Any) -> tuple[Any, Any]:
    heard: list[Any] = []

    def taken() -> Iterator[None]:
        while True:
            heard.append((yield))

    ours, theirs = socketpair()
    with closing(ours), closing(theirs):
        ours.setsockopt(SOL_SOCKET, SO_SNDBUF, ROOM)
        ours.sendall(frame)
        callback, _ = supervisor.length_prefixed_frame_reader(taken(), on_close=None)
        while not heard:
            callback(theirs)
    (request,) = heard
    return request, adapter.validate_python(request.body)


def _questions(frame: bytes, adapter: Any) -> Plain:
    request, message = _question(frame, adapter)
    said = {"id": request.id, "type": type(message).__name__, "value": plain(message, opened)}
    return said | {"carrier": request.context_carrier, "ti_id": plain(getattr(request, "ti_id", None), opened)}


def echo(union: str, frames: list[str]) -> Iterator[Plain]:
    """Read questions, and write each again from what was understood."""
    adapter = pydantic.TypeAdapter(UNIONS[union])
    for frame in frames:
        request, message = _question(bytes.fromhex(frame), adapter)
        again, _ = _request(message, request.id)
        yield {"value": plain(message, opened), "hex": again.hex()}


def unwritable(value: object) -> str:
    """Give the name of what comes of writing a value that has no form."""
    message = comms.SetXCom(key="key", value=value, dag_id="flow", run_id="run", task_id="task")
    try:
        _request(message, 1)
    except Exception as error:  # noqa: BLE001 - which one it is, is the answer
        return type(error).__name__
    return "nothing"
