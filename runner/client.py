"""Asks the supervisor, from any thread, and stays right whatever interrupts it.

Theory. A task may be interrupted between any two steps of Python: by our stop, by an alarm of its own, by a recursion
that is too deep. An exception there must not lose a byte that went out or came in, because every later answer would
then belong to another question. So no step depends on the next one being reached:

- What the system did is recorded by the same call into C that did it. `list.extend(map(os.write, …))` leaves no moment
  at which bytes were written and their number is not known; with `os.read`, none at which they were read and are lost.
- Everything else can be repeated. A frame keeps its own record of what was sent, and whoever comes next sends the rest.
  Bytes are forgotten only after each answer in them was handed over, and handing it over twice does no harm. The
  session is fed whole frames only, so that it holds no bytes itself; an answer it took in an interrupted step is opened
  again before the step is repeated.
- The lock is held for these short steps, never while waiting; it is C's own and `with` takes it, which cannot be torn.

Who reads. As long as only the main thread asks, it reads its answers itself: a round trip wakes nobody else. With the
first question from another thread (or from a signal handler that interrupted a question) a thread of ours becomes the
reader for good. No signal can interrupt that one, and everybody waits for it at a queue of their own.
"""

import os
import select
import threading
import time
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from struct import Struct
from typing import TypeVar

from protocol.codec import Unreadable
from protocol.frames import DEFAULT_CAP, PREFIX
from protocol.messages.shape import Message
from protocol.session import Answered, Broken, Failed, Greeted, RunnerSession, Told
from protocol.states import Talk
from runner.faults import AnswerLost, AskedWhileAsking, ChannelGarbled, ChannelLost, ForkedChannel, QuestionFailed

CHUNK = 64 * 1024
LARGEST_CHUNK = 1024 * 1024
_LENGTH = Struct(">I")
ResultT = TypeVar("ResultT")
Wake = Callable[[], object]


class Outgoing:
    """A frame on its way out, and how much of it went, call by call."""

    __slots__ = ("data", "sent")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sent: list[int] = []


class Question:
    """What was asked, and where its answer is put."""

    __slots__ = ("asked", "elsewhere", "heard", "mail", "number", "wake")

    def __init__(self, wake: Wake | None = None) -> None:
        self.number = 0
        self.asked: type[Message] = Message
        self.heard: Answered | Failed | Unreadable | None = None
        self.mail: SimpleQueue[None] = SimpleQueue()
        self.wake: Wake = wake or self._post
        self.elsewhere = wake is not None
        """Nobody will wait in `ask`: somebody else has to read the answer."""

    def _post(self) -> None:
        self.mail.put(None)


class Client:
    """The runner's end of the frame channel. Made in the main thread."""

    def __init__(self, channel: int, cap: int = DEFAULT_CAP, session: RunnerSession | None = None) -> None:
        self.greeting: Message | None = None
        self.lost: ChannelLost | None = None
        """Why nothing can be asked any more."""
        self._channel = channel
        self._cap = cap
        self._session = session or RunnerSession(cap=cap)
        self._lock = threading.RLock()
        self._inside = False
        self._torn = False
        self._outbox: deque[Outgoing] = deque()
        self._inbox: list[bytes] = []
        self._wanted = PREFIX
        self._waiting: dict[int, Question] = {}
        self._reader = False
        self._main = threading.get_ident()
        self._switch = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        os.set_blocking(channel, False)

    @property
    def late(self) -> int:
        """How many answers came for questions that had been abandoned."""
        return self._session.late

    def greeted(self) -> Message:
        """Wait for the greeting."""
        while self.greeting is None:
            self._check()
            self._poll(select.POLLIN, None, switch=True)
            self._locked(self._hear)
        return self.greeting

    def ask(self, message: Message, timeout: float | None = None) -> Message | None:
        """Ask and wait for the answer; None is a plain acknowledgement."""
        deadline = None if timeout is None else time.monotonic() + timeout
        question = Question()
        try:
            self.put(question, message)
            self.send(question, deadline)
            self._wait(question, deadline)
            return self.answer(question)
        finally:
            self.abandon(question)

    def put(self, question: Question, message: Message) -> None:
        """Ask without waiting. Whoever reads calls the question's `wake`: there is an answer, or there will be none."""
        self._check()
        if not self._reader and (question.elsewhere or self._waiting or threading.get_ident() != self._main):
            self._start_reader()
        self._locked(lambda: self._put(question, message))

    def answer(self, question: Question) -> Message | None:
        """Give the answer that came, or raise why none did."""
        heard = question.heard
        if isinstance(heard, Answered):
            return heard.reply
        if isinstance(heard, Failed):
            raise QuestionFailed(heard.error)
        if isinstance(heard, Unreadable):
            raise AnswerLost(f"the answer cannot be read: {heard.fault}")
        raise self.lost or TimeoutError("the supervisor has not answered in time")

    def abandon(self, question: Question) -> None:
        """Forget a question, answered or not. An answer that still comes is known by its number and dropped."""
        self._waiting.pop(question.number, None)
        self._session.abandon(question.number)

    def flush(self) -> bool:
        """Send what can be sent without waiting: whether that was all."""
        return self._locked(self._flush)

    def forked(self) -> None:
        """Give the channel up: this is a fork of the task's process, and must not take a byte from it."""
        if self.lost is None:
            self.lost = ForkedChannel("this process was forked by a task; only the task itself can ask")
            os.close(self._channel)
            os.close(self._switch)

    # --- waiting: may be interrupted anywhere, holds nothing ---

    def send(self, question: Question, deadline: float | None = None) -> None:
        """See to it that all was sent. The main thread reads while it waits, as long as nobody else does."""
        while not self.flush() and question.heard is None and self.lost is None and _left(deadline) != 0:
            if self._reader:
                self._poll(select.POLLOUT, _left(deadline), switch=False)
            else:
                self._poll(select.POLLOUT | select.POLLIN, _left(deadline), switch=True)
                self._locked(self._hear)

    def _wait(self, question: Question, deadline: float | None) -> None:
        while question.heard is None and self.lost is None and _left(deadline) != 0:
            if self._reader:
                _take(question.mail, _left(deadline))
            else:
                self._poll(select.POLLIN, _left(deadline), switch=True)
                self._locked(self._hear)

    def _poll(self, events: int, timeout: float | None, *, switch: bool) -> None:
        # Made anew each time: a poll object refuses a second user, such as a signal handler that asks during the first.
        poll = select.poll()
        poll.register(self._channel, events)
        if switch:
            poll.register(self._switch, select.POLLIN)
        poll.poll(None if timeout is None else timeout * 1000)

    def _start_reader(self) -> None:
        # In this order: interrupted in between there may come to be two readers, which is harmless, but never none.
        start_new_thread(self._read, ())
        self._reader = True
        os.eventfd_write(self._switch, 1)

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        while self.lost is None:
            try:
                poll.poll()
                self._locked(self._hear)
            except BaseException as error:  # noqa: BLE001 - whoever waits has to be told, whatever it is
                self._lose(ChannelLost(f"the reader ended: {error!r}"))

    # --- the short steps under the lock ---

    def _locked(self, step: Callable[[], ResultT]) -> ResultT:
        with self._lock:
            if self._inside:  # the lock is this thread's own already: a signal handler asks in the middle of a step
                raise AskedWhileAsking("a signal handler asked while it had interrupted another question")
            try:
                self._inside = True
                return step()
            finally:
                self._inside = False

    def _put(self, question: Question, message: Message) -> None:
        number, data = self._session.ask(message)
        # First the question knows its number, so that whoever gives it up can take it out again.
        question.asked, question.number = type(message), number
        self._waiting[number] = question
        self._outbox.append(Outgoing(data))

    def _flush(self) -> bool:
        while self._outbox:
            head = self._outbox[0]
            done = sum(head.sent)
            if done == len(head.data):
                self._outbox.popleft()
                continue
            try:
                head.sent.extend(map(os.write, (self._channel,), (memoryview(head.data)[done:],)))
            except BlockingIOError:
                return False
            except OSError as error:
                self._lose(ChannelLost(f"the supervisor's end is closed: {error}"))
                return True
        return True

    def _hear(self) -> None:
        missing = self._wanted - sum(map(len, self._inbox))
        try:
            self._inbox.extend(map(os.read, (self._channel,), (min(max(missing, CHUNK), LARGEST_CHUNK),)))
        except BlockingIOError:
            pass  # somebody else read it; what an interrupted turn left in the inbox is looked at all the same
        except OSError as error:
            self._lose(ChannelLost(f"the supervisor's end is closed: {error}"))
            return
        ended = bool(self._inbox) and not self._inbox[-1]
        if ended or sum(map(len, self._inbox)) >= self._wanted:
            self._understand(b"".join(self._inbox), ended=ended)

    def _understand(self, data: bytes, *, ended: bool) -> None:
        """Hand over the answers in these bytes, and only then forget the bytes."""
        whole, wanted = _whole_frames(data, self._cap)
        if self._torn:
            self._session.open.update({number: question.asked for number, question in self._waiting.items()})
        self._torn = True
        heard = self._session.receive(data[:whole])
        if ended:
            heard += [*self._session.receive(data[whole:]), *self._session.receive_end()]
        for told in heard:
            self._hand_over(told)
        if self._session.talk in (Talk.BROKEN, Talk.CLOSED):
            self._lose(ChannelLost("the supervisor closed the channel"))
        self._inbox[:] = [data[whole:]] if whole < len(data) else []
        # After the bytes and not before: too small a number costs a look, too large a one an answer.
        self._wanted = wanted
        self._torn = False

    def _hand_over(self, told: Told) -> None:
        if isinstance(told, Greeted):
            self.greeting = told.message
        elif isinstance(told, Broken):
            self._lose(ChannelGarbled(told.fault))
        elif isinstance(told, Answered | Failed | Unreadable):
            question = self._waiting.get(told.id)
            if question is not None:
                question.heard = told
                question.wake()

    def _lose(self, lost: ChannelLost) -> None:
        if self.lost is None:
            self.lost = lost
        for question in list(self._waiting.values()):
            question.wake()

    def _check(self) -> None:
        if self.lost is not None:
            raise self.lost


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _take(mail: "SimpleQueue[None]", timeout: float | None) -> None:
    try:
        mail.get(timeout=timeout)
    except Empty:
        return


def _whole_frames(data: bytes, cap: int) -> tuple[int, int]:
    """Count the bytes of whole frames, and those to wait for next. From a length that no frame has, all count."""
    start, size = 0, len(data)
    while size - start >= PREFIX:
        (length,) = _LENGTH.unpack_from(data, start)
        if not 0 < length <= cap:
            return size, PREFIX
        if size - start - PREFIX < length:
            return start, PREFIX + length
        start += PREFIX + length
    return start, PREFIX
