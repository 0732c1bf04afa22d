"""One child's questions, and their answers: between its channel and the handlers.

Questions are answered as they come done, in any order, and a bounded number of them at a time: beyond it the channel is
not read, which is a brake that the child feels and nobody else. What never waits is answered on the spot. Whatever is
asked is answered, also what cannot be read and what a handler failed at; only a child that is gone gets no answers.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

from protocol.codec import Unreadable
from protocol.errors import LocalProtocolError, RemoteProtocolError, TruncatedFrame
from protocol.messages.control import ErrorResponse, ErrorType, SentFDs
from protocol.messages.shape import Message
from protocol.session import Asked, Broken, Ended, Heard, SupervisorSession, refusal
from protocol.vocabulary import TERMINAL
from supervisor.answers.desk import Desk
from supervisor.api import TRACE
from supervisor.channels import FrameChannel
from supervisor.handlers import HANDLERS, LOCAL, answer
from supervisor.slate import Slate
from supervisor.tracing import lines_of

AT_ONCE = 64
BRAKE = "questions"


class Listener(Protocol):
    """Who wants to know what is heard. Called from the loop."""

    def heard(self) -> None:
        """A frame came."""

    def hung_up(self) -> None:
        """No more will come."""

    def broke(self, fault: RemoteProtocolError) -> None:
        """What comes cannot be understood any more."""

    def unreadable(self, fault: Unreadable) -> None:
        """One question could not be read, and was refused."""


class Conversation:
    """The answering side of one channel."""

    def __init__(
        self, fd: int, session: SupervisorSession, desk: Desk, listener: Listener, slate: Slate | None = None
    ) -> None:
        self.asked = 0
        self._session = session
        self._desk = desk
        self._listener = listener
        self._channel: FrameChannel[Heard] = FrameChannel(fd, session, self._on_event, slate)
        self._tasks: set[asyncio.Task[None]] = set()
        self._words: set[asyncio.Task[None]] = set()
        self._waiting: deque[Asked] = deque()
        self._beginning = 0
        self._over = False
        self._torn: TruncatedFrame | None = None

    @property
    def bytes_in(self) -> int:
        """How much the child has sent."""
        return self._channel.bytes_in

    @property
    def ended(self) -> bool:
        """Whether no more can be heard."""
        return self._channel.ended or self._over

    @property
    def busy(self) -> bool:
        """Whether something was heard of which nobody has taken notice: an answer to it has not begun."""
        return bool(self._waiting or self._beginning)

    def greet(self, greeting: Message) -> None:
        """Begin. Raises `LocalProtocolError` when the greeting cannot be said at the child's version."""
        self._channel.send(self._session.greet(greeting))
        self._channel.rest()
        self._channel.open()

    def resume(self, questions: bytes) -> None:
        """Go on where a supervisor that is no more stopped: with the questions that it has not answered."""
        self._session.resume()
        for event in self._session.receive(questions):
            self._on_event(event)
        self._channel.push()
        if self._session.resting:  # the greeting may not have been behind whoever died
            self._channel.rest()
        self._channel.open()

    def listen(self) -> None:
        """Hear a child that was not greeted: all it can do is to break the rules, or go."""
        self._channel.open()

    @property
    def hears_an_end(self) -> bool:
        """Whether a terminal message waits for its answer."""
        return bool(self._words)

    @property
    def unsent(self) -> int:
        """How many bytes of ours have not left."""
        return self._channel.unsent

    def hang_up(self) -> None:
        """Listen no more. Answers under way still go out; then the child is told that nothing more comes.

        Told, because it may wait for an answer: it would do so until it is killed.
        """
        self._over = True
        self._waiting.clear()
        self._channel.pause("over")
        self._finish_when_quiet()

    def _finish_when_quiet(self) -> None:
        if self._over and not self._tasks:
            self._channel.finish()

    def child_ended(self, code: int | None) -> None:
        """The child has ended. Cut off in the middle of a frame is how one looks that was killed; no other may be."""
        if self._torn is not None and code == 0:
            self._listener.broke(self._torn)

    def close(self) -> None:
        """The child is gone: nobody waits for these answers, except for what it said of its end."""
        self._over = True
        self._waiting.clear()
        for task in self._tasks - self._words:
            task.cancel()
        self._channel.close()

    def abandon(self) -> None:
        """Answer nothing any more, not even what the child said of its end."""
        for task in self._tasks:
            task.cancel()
        self.close()

    async def wait(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait([*self._tasks])

    def _on_event(self, event: Heard) -> None:
        if self._over:
            return
        match event:
            case Asked():
                self.asked += 1
                self._listener.heard()
                self._take(event)
            case Unreadable():
                self._listener.heard()
                self._listener.unreadable(event)
                self._reply(event.id, refusal(event.fault))
            case Ended():
                self._listener.hung_up()
            case Broken(fault=TruncatedFrame() as fault):
                self._torn = fault
                self._listener.hung_up()
            case Broken(fault=fault):
                self._listener.broke(fault)

    def _take(self, asked: Asked) -> None:
        if HANDLERS[type(asked.message)] in LOCAL:
            self._reply(asked.id, _at_once(answer(self._desk, asked.message)))
        elif len(self._tasks) >= AT_ONCE:
            self._waiting.append(asked)
            self._channel.pause(BRAKE)
        else:
            self._begin(asked)

    def _begin(self, asked: Asked) -> None:
        self._beginning += 1
        task = asyncio.create_task(self._answer(asked))
        self._tasks.add(task)
        if type(asked.message) in TERMINAL:
            self._words.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._words.discard(task)
        while self._waiting and len(self._tasks) < AT_ONCE:
            self._begin(self._waiting.popleft())
        if not self._waiting:
            self._channel.resume(BRAKE)
        self._finish_when_quiet()

    async def _answer(self, asked: Asked) -> None:
        reply: Message | None
        self._beginning -= 1
        if asked.carrier is not None:
            TRACE.set(lines_of(asked.carrier))  # for this task alone: its context is its own
        try:
            reply = await answer(self._desk, asked.message)
        except Exception as error:  # noqa: BLE001 - a question is answered whatever happens to its handler
            reply = _failed(error)
        self._reply(asked.id, reply)

    def _reply(self, number: int, reply: Message | None) -> None:
        try:
            frame = self._session.answer(number, reply)
        except LocalProtocolError as error:  # a value that has no form on the wire: the asker is told that instead
            frame = self._session.answer(number, _failed(error))
        self._channel.send(frame, reply.fds if isinstance(reply, SentFDs) else ())
        if self._session.resting:
            self._channel.rest()


def _failed(error: Exception) -> ErrorResponse:
    detail = {"status_code": None, "message": str(error), "exception_type": type(error).__name__}
    return ErrorResponse(ErrorType.API_SERVER_ERROR, detail)


def _at_once(coroutine: Coroutine[Any, Any, Message | None]) -> Message | None:
    """Run what never waits."""
    with contextlib.closing(coroutine):
        try:
            coroutine.send(None)
        except StopIteration as done:
            reply: Message | None = done.value
            return reply
    raise AssertionError("a local handler waited")
