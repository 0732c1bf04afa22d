"""Payloads to messages and back, in one vocabulary at one version.

The usual frame is decoded in one call, straight into its message. Only when that fails is it looked at again, slowly,
to say which of the things that can be wrong it was, and whether its id can still be told: a frame whose id is known is
the asker's problem, one whose id is not is the conversation's. A large frame is weighed first: bytes within the cap may
still become more than the supervisor can bear.
"""

from functools import cache
from types import NoneType
from typing import Annotated, Any, Generic, NamedTuple, TypeVar
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
    TooDeep,
    UnknownType,
)
from protocol.frames import Payload
from protocol.messages.control import ErrorResponse
from protocol.messages.shape import Message
from protocol.values import UNENCODABLE, encode, to_body
from protocol.vocabulary import Vocabulary, union
from protocol.weighing import LIGHT, weigh

# What msgspec raises on bytes it cannot take: not only its own exceptions.
UNDECODABLE = (*UNENCODABLE, msgspec.MsgspecError)

BodyT = TypeVar("BodyT")
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


FrameT = TypeVar("FrameT", bound=Question[Any] | Reply[Any])


class Unreadable(Struct, frozen=True):
    """A frame whose id is known and whose rest cannot be taken."""

    id: int
    fault: BadMessage


class _Named(Struct):
    type: str | None = None


_elements = msgspec.msgpack.Decoder(list[Raw])
_named = msgspec.msgpack.Decoder(_Named)
_id = msgspec.msgpack.Decoder(Id)
_body = msgspec.msgpack.Decoder(dict[str, Any])
_INTEGERS = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}  # first byte: bytes in all


class _Reading(NamedTuple):
    """What reads one direction: the same for every conversation of its kind, and made once for all of them."""

    names: dict[str, type[Message]]
    welcome: frozenset[type[Message] | type[None]]
    direct: bool
    """Where an older body has to be stepped up first there is no fast way."""
    fast: Any


@cache
def reading(
    asked: bool,  # noqa: FBT001 - a key of the cache
    vocabulary: Vocabulary,
    version: str,
    allowed: frozenset[type[Message]] | None,
) -> _Reading:
    """Give what reads one direction of a kind of conversation."""
    members = vocabulary.questions if asked else vocabulary.replies | {vocabulary.greeting}
    names = {each.__name__: each for each in members if versions.exists(each.__name__, version)}
    welcome = frozenset(names.values()) & (members if allowed is None else allowed)
    direct = not any(versions.raises(name, version) for name in names)
    fast = frame_decoder(asked=asked, members=members)
    return _Reading(names, welcome if asked else welcome | {NoneType}, direct, fast)


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
        self._names, self._welcome, self._direct, self._fast = reading(self._asked, vocabulary, version, allowed)

    def read(self, payload: Payload) -> FrameT | Unreadable:
        """Take a payload. What cannot even be given back to an asker raises."""
        try:
            if len(payload) > LIGHT:
                weigh(payload)
            frame: FrameT = self._fast.decode(payload) if self._direct else self._stepped_up(payload)
        except BadMessage as fault:
            return Unreadable(self._id_of(payload), fault)
        except UNDECODABLE as error:
            return Unreadable(self._id_of(payload), self._fault(payload, error))
        if type(frame.body) not in self._welcome:
            return Unreadable(frame.id, self._unwelcome(type(frame.body).__name__))
        return frame

    def _stepped_up(self, payload: Payload) -> FrameT:
        number = self._id_of(payload)
        _, *rest = _elements.decode(payload)
        frame: FrameT = self._fast.decode(encode([number, *map(self._newest, rest[:1]), *rest[1:]]))
        return frame

    def _fault(self, payload: Payload, error: Exception) -> BadMessage:
        """Say what is wrong with a frame whose id is not, as exactly as can be told."""
        if isinstance(error, RecursionError):
            return TooDeep("a message that can be read", "one nested too deeply")
        try:
            for body in _elements.decode(payload)[1:2]:
                self._newest(body)
        except BadMessage as fault:
            return fault
        except UNDECODABLE:
            pass  # the first error says it better: it names the field
        return BadField("a message whose fields fit its type", str(error))

    def _newest(self, element: Raw) -> Raw:
        """Give a body as the newest version has it."""
        if memoryview(element) == NIL:
            if self._asked:
                raise NoBody("a message", "nil")
            return element
        name = _named.decode(element).type
        if name is None:
            raise UnknownType("a message with a `type`", "one without")
        if name not in self._names:
            raise self._unwelcome(name)
        if versions.raises(name, self.version):
            return Raw(encode(versions.up(name, _body.decode(element), self.version)))
        return element

    def _unwelcome(self, name: str) -> BadMessage:
        if name in self._names:
            return NotAllowed("a message this runtime may send", name)
        return UnknownType(f"a message of version {self.version}", repr(name))

    def _id_of(self, payload: Payload) -> int:
        """Give the id, also of a payload whose rest is too deep for the decoder."""
        try:
            elements = _elements.decode(payload)
        except msgspec.ValidationError as error:
            raise NotAnArray("an array", str(error)) from None
        except RecursionError:
            elements = _first_two(payload)
        except UNDECODABLE as error:
            raise NotMsgpack("one msgpack value", str(error)) from None
        shortest = 2 if self._asked else 1
        if len(elements) < shortest:
            raise ShortFrame(f"an array of at least {shortest}", f"one of {len(elements)}")
        try:
            return _id.decode(elements[0])
        except UNDECODABLE as error:
            raise BadId("a non-negative integer as a frame's id", str(error)) from None


def _first_two(payload: Payload) -> list[Any]:
    """Give the bytes of the first element of an array of two to four, and those of the rest."""
    size = _INTEGERS.get(payload[1], 1)
    if payload[0] not in (0x92, 0x93, 0x94):
        raise NotMsgpack("an array of two to four elements", "one nested too deeply")
    return [payload[1 : 1 + size], payload[1 + size :]]


def outgoing(message: Message, version: str) -> Message | Body:
    """Give a message as it goes out at a version."""
    if version == versions.HEAD:
        return message
    return versions.down(type(message).__name__, to_body(message), version)


@cache
def frame_decoder(*, asked: bool, members: frozenset[type[Message]]) -> msgspec.msgpack.Decoder[Any]:
    """Give the decoder of whole frames of one direction; making one costs milliseconds, so each is made once."""
    return msgspec.msgpack.Decoder((Question if asked else Reply)[union(members)])
