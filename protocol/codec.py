"""Payloads to messages and back, in one vocabulary at one version.

The usual frame is decoded in one call, straight into its message. Only when that fails is it looked at again, slowly,
to say which of the things that can be wrong it was, and whether its id can still be told: a frame whose id is known is
the asker's problem, one whose id is not is the conversation's.
"""

from functools import cache
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct

from protocol import versions
from protocol.changes import Body
from protocol.errors import (
    BadField,
    BadId,
    BadMessage,
    NoBody,
    NotAllowed,
    NotAnArray,
    NotMsgpack,
    ShortFrame,
    UnknownType,
)
from protocol.frames import Payload
from protocol.messages.control import ErrorResponse
from protocol.messages.shape import Message
from protocol.values import UNENCODABLE, encode, to_body
from protocol.vocabulary import Vocabulary, union

# What msgspec raises on bytes it cannot take: not only its own exceptions.
UNDECODABLE = (*UNENCODABLE, msgspec.MsgspecError)

BodyT = TypeVar("BodyT")
FrameT = TypeVar("FrameT")
Id = Annotated[int, Meta(ge=0)]
Carrier = dict[str, str]
NIL = b"\xc0"


class Question(Struct, Generic[BodyT], frozen=True, array_like=True, gc=False):
    """A frame from the asking end. What follows the fourth element is ignored."""

    id: Id
    body: BodyT
    carrier: Carrier | None = None
    """The asker's W3C trace headers."""
    ti_id: UUID | None = None
    """The task instance a trigger runner asks for."""


class Reply(Struct, Generic[BodyT], frozen=True, array_like=True, gc=False):
    """A frame from the answering end. Both slots may be empty, which is a plain acknowledgement."""

    id: Id
    body: BodyT | None = None
    error: ErrorResponse | None = None


class Unreadable(Struct, frozen=True):
    """A frame whose id is known and whose rest cannot be taken."""

    id: int
    fault: BadMessage


_elements = msgspec.msgpack.Decoder(list[Raw])
_id = msgspec.msgpack.Decoder(Id)
_type = msgspec.msgpack.Decoder(str)
_map = msgspec.msgpack.Decoder(dict[str, Raw])
_body = msgspec.msgpack.Decoder(dict[str, Any])


class Codec(Generic[FrameT]):
    """Reads one direction's frames: `Codec(Question, …)` at the supervisor's end, `Codec(Reply, …)` at the other."""

    def __init__(
        self,
        frame: type[FrameT],
        vocabulary: Vocabulary,
        version: str = versions.HEAD,
        allowed: frozenset[type[Message]] | None = None,
    ) -> None:
        self.version = versions.known(version)
        self._asked = frame is Question
        self._members = vocabulary.questions if self._asked else vocabulary.replies | {vocabulary.greeting}
        self._allowed = self._members if allowed is None else allowed
        self._names = {member.__name__: member for member in self._members}
        self._fast = frame_decoder(asked=self._asked, members=self._members)
        # A body of an older version has no class: it is stepped up first, so there is no fast way.
        self._direct = self._fast.decode if version == versions.HEAD and allowed is None else self._slowly

    def read(self, payload: Payload) -> FrameT | Unreadable:
        """Take a payload. What cannot even be given back to an asker raises."""
        try:
            frame: FrameT | Unreadable = self._direct(payload)
        except UNDECODABLE:
            return self._slowly(payload)
        return frame

    def _slowly(self, payload: Payload) -> FrameT | Unreadable:
        elements = _split(payload, shortest=2 if self._asked else 1)
        try:
            number = _id.decode(elements[0])
        except UNDECODABLE as error:
            raise BadId("a non-negative integer as a frame's id", str(error)) from None
        try:
            bodies = [self._newest(element) for element in elements[1:2]]
            frame: FrameT = self._fast.decode(encode([number, *bodies, *elements[2:]]))
        except BadMessage as fault:
            return Unreadable(number, fault)
        except UNDECODABLE as error:
            return Unreadable(number, BadField("a message whose fields fit its type", str(error)))
        return frame

    def _newest(self, element: Raw) -> Raw:
        """Give a body as the newest version has it."""
        if memoryview(element) == NIL:
            if self._asked:
                raise NoBody("a message", "nil")
            return element
        name = self._name(element)
        if self._names[name] not in self._allowed:
            raise NotAllowed("a message this runtime may send", name)
        if self.version == versions.HEAD:
            return element
        return Raw(encode(versions.up(name, _body.decode(element), self.version)))

    def _name(self, element: Raw) -> str:
        try:
            name = _type.decode(_map.decode(element)["type"])
        except KeyError:
            raise UnknownType("a message with a `type`", "one without") from None
        if name not in self._names or not versions.exists(name, self.version):
            raise UnknownType(f"a message of version {self.version}", repr(name[:100]))
        return name


def outgoing(message: Message, version: str) -> Message | Body:
    """Give a message as it goes out at a version."""
    if version == versions.HEAD:
        return message
    return versions.down(type(message).__name__, to_body(message), version)


def _split(payload: Payload, shortest: int) -> list[Raw]:
    try:
        elements = _elements.decode(payload)
    except msgspec.ValidationError as error:
        raise NotAnArray("an array", str(error)) from None
    except UNDECODABLE as error:
        raise NotMsgpack("one msgpack value", str(error)) from None
    if len(elements) < shortest:
        raise ShortFrame(f"an array of at least {shortest}", f"one of {len(elements)}")
    return elements


@cache
def frame_decoder(*, asked: bool, members: frozenset[type[Message]]) -> msgspec.msgpack.Decoder[Any]:
    """Give the decoder of whole frames of one direction; making one costs milliseconds, so each is made once."""
    return msgspec.msgpack.Decoder((Question if asked else Reply)[union(members)])
