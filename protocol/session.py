"""A conversation's two ends, without a channel: bytes in, events out; messages in, bytes out.

The supervisor's end greets once, then only answers. The runner's end is greeted, then asks; it may have many questions
open, and may give up on one (its task's code was interrupted in the middle of asking) without losing count: the answer
that still comes is known by its id, dropped, and counted in `late`.

Ids are chosen by the asker. The greeting has id 0, and a runner is free to use 0 for its first question too, so the two
are told apart by what they carry. Ours begin at 1.

Where an end is, and what may happen there, is in the tables of `protocol.states`; this module fires them. A
conversation that broke stays broken: the events before the fault are given, then `Broken`, then nothing.
"""

from collections.abc import Iterable
from itertools import count
from uuid import UUID

from msgspec import Struct

from protocol import versions
from protocol.codec import Carrier, Codec, Question, Reply, Unreadable, outgoing
from protocol.errors import (
    BadMessage,
    DuplicateId,
    LocalProtocolError,
    OutOfTurn,
    RemoteProtocolError,
    WrongReply,
)
from protocol.frames import DEFAULT_CAP, FrameReader, encode_frame
from protocol.messages.control import ErrorResponse, ErrorType
from protocol.messages.shape import Message
from protocol.states import RUNNER_END, SUPERVISOR_END, Table, Talk, Turn, Verdict
from protocol.vocabulary import ANSWERS, TASK, Answer, Vocabulary

GREETING_ID = 0
_UNREADABLE = Answer(Message)  # nothing is just a Message, so only an error answers what could not be read


class Asked(Struct, frozen=True, gc=False):
    """A question. It must be answered, once."""

    id: int
    message: Message
    carrier: Carrier | None = None
    ti_id: UUID | None = None


class Greeted(Struct, frozen=True, gc=False):
    """The greeting."""

    message: Message


class Answered(Struct, frozen=True, gc=False):
    """An answer: a reply, an error that counts as one, or None for a plain acknowledgement."""

    id: int
    reply: Message | None


class Failed(Struct, frozen=True, gc=False):
    """A question that could not be answered."""

    id: int
    error: ErrorResponse


class Ended(Struct, frozen=True):
    """The peer closed its end between two frames."""


class Broken(Struct, frozen=True):
    """The peer said what cannot be understood from here on."""

    fault: RemoteProtocolError


Heard = Asked | Unreadable | Ended | Broken
"""What the supervisor's end may hear."""
Told = Greeted | Answered | Failed | Unreadable | Ended | Broken
"""What the runner's end may hear."""


def refusal(fault: BadMessage) -> ErrorResponse:
    """Give the answer to a question that cannot be read."""
    detail = {"status_code": 400, "message": f"{type(fault).__name__}: {fault}", "detail": None}
    return ErrorResponse(ErrorType.API_SERVER_ERROR, detail)


class _Position:
    """Where one end is, by its table."""

    def __init__(self, table: Table) -> None:
        self.talk = Talk.UNGREETED
        self._table = table
        self._row = table[self.talk]

    def take(self, turn: Turn) -> bool:
        """Fire a turn: whether it counts. Faults raise, ours and theirs each in their own way."""
        cell = self._row[turn]
        if cell is self.talk:
            return True
        if isinstance(cell, Talk):
            self.talk, self._row = cell, self._table[cell]
            return True
        if cell is Verdict.OUR_FAULT:
            raise LocalProtocolError(f"no {turn} is possible when a conversation is {self.talk}")
        if cell is Verdict.THEIR_FAULT:
            raise OutOfTurn(f"no {turn} when a conversation is {self.talk}", f"one: {turn}")
        return False

    @property
    def over(self) -> bool:
        """Whether nothing that is heard counts any more."""
        return self.talk in (Talk.CLOSED, Talk.BROKEN)

    def broken(self, fault: RemoteProtocolError) -> list[Broken]:
        """Give the fault once, if it still counts."""
        return [Broken(fault)] if self.take(Turn.FAULT) else []


class SupervisorSession:
    """The supervisor's end."""

    def __init__(
        self,
        vocabulary: Vocabulary = TASK,
        version: str = versions.HEAD,
        cap: int = DEFAULT_CAP,
        allowed: frozenset[type[Message]] | None = None,
    ) -> None:
        self.open: dict[int, type[Message] | None] = {}
        """The questions that wait for their answer; None for those that could not be read."""
        self._position = _Position(SUPERVISOR_END)
        self._vocabulary = vocabulary
        self._version = versions.known(version)
        self._reader = FrameReader(cap)
        self._codec: Codec[Question[Message]] = Codec(Question, vocabulary, version, allowed)

    @property
    def talk(self) -> Talk:
        """Where the conversation is."""
        return self._position.talk

    def greet(self, greeting: Message) -> bytes:
        """Begin."""
        if type(greeting) is not self._vocabulary.greeting:
            wanted = self._vocabulary.greeting.__name__
            raise LocalProtocolError(f"this conversation begins with {wanted}, not with {type(greeting).__name__}")
        self._position.take(Turn.GREETING)
        return encode_frame((GREETING_ID, outgoing(greeting, self._version), None), self._reader.cap)

    def resume(self) -> None:
        """Go on with a conversation that another end of ours has begun."""
        self._position.take(Turn.GREETING)

    @property
    def resting(self) -> bool:
        """Whether every question is answered and none has begun: nothing that was heard matters any more."""
        return not self.open and self._reader.empty

    def receive(self, data: bytes) -> list[Heard]:
        """Take bytes from the channel."""
        heard: list[Heard] = []
        if self._position.over:
            return heard
        try:
            for payload in self._reader.feed(data):
                question = self._codec.read(payload)
                self._position.take(Turn.QUESTION)
                heard.append(self._open(question))
        except RemoteProtocolError as fault:
            return [*heard, *self._position.broken(fault)]
        return heard if self._reader.fault is None else [*heard, *self._position.broken(self._reader.fault)]

    def receive_end(self) -> list[Heard]:
        """Take the end of the stream."""
        return list(_ended(self._position, self._reader))

    def answer(self, number: int, reply: Message | None) -> bytes:
        """Answer a question: with its reply, with None where an empty frame is the answer, or with an error."""
        if number not in self.open:
            raise LocalProtocolError(f"question {number} is not open: it was answered before, or never asked")
        frame = encode_frame(self._slots(number, self.open[number], reply), self._reader.cap)
        del self.open[number]
        return frame if self._position.take(Turn.ANSWER) else b""

    def _open(self, question: Question[Message] | Unreadable) -> Asked | Unreadable:
        if question.id in self.open:
            raise DuplicateId("an id that no open question has", str(question.id))
        if isinstance(question, Unreadable):
            self.open[question.id] = None
            return question
        self.open[question.id] = type(question.body)
        return Asked(question.id, question.body, question.carrier, question.ti_id)

    def _slots(self, number: int, asked: type[Message] | None, reply: Message | None) -> tuple[int, object, object]:
        expected = ANSWERS[asked] if asked else _UNREADABLE
        if isinstance(reply, ErrorResponse):
            error = outgoing(reply, self._version)
            return (number, error, None) if reply.error in expected.instead else (number, None, error)
        if type(reply) is not expected.reply:
            question = asked.__name__ if asked else "a question that could not be read"
            raise LocalProtocolError(f"{type(reply).__name__} does not answer {question}")
        return (number, None if reply is None else outgoing(reply, self._version), None)


class RunnerSession:
    """The runner's end."""

    def __init__(self, vocabulary: Vocabulary = TASK, version: str = versions.HEAD, cap: int = DEFAULT_CAP) -> None:
        self.open: dict[int, type[Message]] = {}
        """The questions whose answer is waited for."""
        self.late = 0
        """Answers that came for a question that was abandoned, answered before, or never asked."""
        self._position = _Position(RUNNER_END)
        self._vocabulary = vocabulary
        self._version = versions.known(version)
        self._reader = FrameReader(cap)
        self._codec: Codec[Reply[Message]] = Codec(Reply, vocabulary, version)
        self._ids = count(GREETING_ID + 1)

    @property
    def talk(self) -> Talk:
        """Where the conversation is."""
        return self._position.talk

    def ask(self, message: Message, carrier: Carrier | None = None, ti_id: UUID | None = None) -> tuple[int, bytes]:
        """Ask: the id under which the answer comes, and the bytes to send, all of them."""
        if type(message) not in self._vocabulary.questions:
            raise LocalProtocolError(f"{type(message).__name__} is not a question of this conversation")
        number = next(self._ids)
        body = outgoing(message, self._version)
        elements = (number, body, carrier) if ti_id is None else (number, body, carrier, ti_id)
        frame = encode_frame(elements, self._reader.cap)
        self._position.take(Turn.QUESTION)
        self.open[number] = type(message)
        return number, frame

    def abandon(self, number: int) -> None:
        """Give up on a question whose bytes were sent: its answer will be dropped when it comes."""
        self.open.pop(number, None)

    def receive(self, data: bytes) -> list[Told]:
        """Take bytes from the channel."""
        told: list[Told] = []
        if self._position.over:
            return told
        try:
            for payload in self._reader.feed(data):
                told += self._told(self._codec.read(payload))
        except RemoteProtocolError as fault:
            return [*told, *self._position.broken(fault)]
        return told if self._reader.fault is None else [*told, *self._position.broken(self._reader.fault)]

    def receive_end(self) -> list[Told]:
        """Take the end of the stream."""
        return list(_ended(self._position, self._reader))

    def _told(self, reply: Reply[Message] | Unreadable) -> Iterable[Told]:
        if isinstance(reply, Reply) and type(reply.body) is self._vocabulary.greeting:
            self._position.take(Turn.GREETING)
            return [Greeted(reply.body)]
        if self.talk is Talk.UNGREETED and isinstance(reply, Unreadable):
            raise reply.fault  # a greeting, most likely; what is wrong with it says more than that it is out of turn
        self._position.take(Turn.ANSWER)
        asked = self.open.pop(reply.id, None)
        if asked is None:
            self.late += 1
            return []
        return [reply if isinstance(reply, Unreadable) else _answer(asked, reply)]


def _answer(asked: type[Message], reply: Reply[Message]) -> Answered | Failed | Unreadable:
    if reply.error is not None:
        return Failed(reply.id, reply.error)
    expected, came = ANSWERS[asked].reply, type(reply.body)
    if came not in (expected, ErrorResponse):
        return Unreadable(reply.id, WrongReply(f"{expected.__name__} to {asked.__name__}", came.__name__))
    return Answered(reply.id, reply.body)


def _ended(position: _Position, reader: FrameReader) -> list[Broken | Ended]:
    reader.end()
    if reader.fault is not None:
        return [*position.broken(reader.fault)]
    return [Ended()] if position.take(Turn.END) else []
