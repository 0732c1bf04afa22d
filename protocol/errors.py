"""Whose fault it was.

A `LocalProtocolError` is ours: we tried to say something the protocol does not allow. A `RemoteProtocolError` is the
peer's: what it sent cannot be what it meant. Each kind of remote fault has a class of its own, because the attempt's
record must say which it was, and each names what was expected and what came, because that is the first question of
whoever writes the other end.
"""


class ProtocolError(Exception):
    """Anything this package raises."""


class LocalProtocolError(ProtocolError):
    """We broke the protocol: a value that cannot be encoded, a question answered twice, a frame after the end."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}, came {came}")
        self.expected = expected
        self.came = came


class ZeroLengthFrame(RemoteProtocolError):
    """A prefix of four zero bytes: no msgpack value is that short."""


class FrameTooLong(RemoteProtocolError):
    """A prefix above the cap. Raised from the four bytes alone, before memory is taken for the rest."""


class TruncatedFrame(RemoteProtocolError):
    """The stream ended inside a prefix or a payload."""


class NotMsgpack(RemoteProtocolError):
    """A payload that is not exactly one msgpack value."""


class NotAnArray(RemoteProtocolError):
    """A payload that is a msgpack value, but not an array."""


class ShortFrame(RemoteProtocolError):
    """An array with fewer elements than a frame of this direction needs."""


class BadId(RemoteProtocolError):
    """A frame whose first element is not a non-negative integer."""


class DuplicateId(RemoteProtocolError):
    """A second question under the id of one that is still open: its answer could not be told from the first one's."""


class OutOfTurn(RemoteProtocolError):
    """A frame that the conversation's state does not allow, such as a question before the greeting."""


class BadMessage(RemoteProtocolError):
    """A good frame whose body cannot be taken. Its id is known, so it is refused, and the conversation goes on."""


class NoBody(BadMessage):
    """A question whose body is nil."""


class UnknownType(BadMessage):
    """A body whose `type` this vocabulary does not have at the version in force."""


class BadField(BadMessage):
    """A body of a known type with a missing, surplus or wrong field."""


class NotAllowed(BadMessage):
    """A message that this peer's runtime may not send."""
