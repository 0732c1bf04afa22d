"""The other end: a supervisor that answers from a table, over a real socket pair, with the real session."""

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from protocol.messages.shape import Message
from protocol.messages.variables import GetVariable, VariableResult
from protocol.session import Asked, Broken, Ended, SupervisorSession

Handler = Callable[[Message], Message | None]


class Peer:
    """Answers each question by a function, in a thread of its own. `cuts` says how the answers' bytes are cut up."""

    def __init__(self, answer: Handler, cuts: Iterator[int] | None = None) -> None:
        self.session = SupervisorSession()
        self.channel, self.childs = socket.socketpair()
        self.asked: list[Message] = []
        self.fault: Broken | None = None
        self.hold = threading.Event()
        self.hold.set()
        self._answer = answer
        self._cuts = cuts
        self._stop_read, self._stop_write = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> "Peer":
        self._thread.start()
        return self

    def greet(self, greeting: Message) -> None:
        self.channel.sendall(self.session.greet(greeting))

    def send(self, data: bytes) -> None:
        start = 0
        while start < len(data):
            size = next(self._cuts) if self._cuts else len(data)
            self.channel.sendall(data[start : start + size])
            start += size

    def close(self) -> None:
        self._stop_write.close()
        self.hold.set()  # whoever held it may have gone with a question still on its way
        if self._thread.is_alive():
            self._thread.join()
        for each in (self.channel, self.childs, self._stop_read):
            each.close()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self.channel, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            try:
                data = self.channel.recv(1 << 20)
            except ConnectionResetError:
                return
            self.hold.wait()
            for event in self.session.receive(data) if data else self.session.receive_end():
                if not self._heard(event):
                    return

    def _heard(self, event: object) -> bool:
        if isinstance(event, Asked):
            self.asked.append(event.message)
            try:
                self.send(self.session.answer(event.id, self._answer(event.message)))
            except (BrokenPipeError, ConnectionResetError):
                return False
            return True
        if isinstance(event, Broken):
            self.fault = event
        return not isinstance(event, Broken | Ended)


def echo(message: Message) -> Message:
    """Answer a variable's name with itself, so that each answer shows whose it is."""
    assert isinstance(message, GetVariable)
    return VariableResult(message.key, message.key)


@contextmanager
def peer(answer: Handler = echo, cuts: Iterator[int] | None = None) -> Iterator[Peer]:
    other = Peer(answer, cuts).start()
    try:
        yield other
    finally:
        other.close()
