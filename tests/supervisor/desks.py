"""A desk for handlers: an API whose answers are written down, and an attempt that remembers what it was told."""

import asyncio
import itertools
from collections import deque
from uuid import UUID

from protocol.messages.checkpoints import StopRequest
from protocol.messages.control import ErrorResponse
from protocol.messages.shape import Message
from supervisor.api import AttemptApi, Client
from supervisor.handlers import answer
from supervisor.http1 import Answer
from supervisor.retrying import RetryPolicy

TI = UUID(int=7)
JSON = {b"content-type": b"application/json"}


class Wire:
    """Answers in order, and the requests that were made for them."""

    def __init__(self, answers: list[Answer]) -> None:
        self.answers = deque(answers)
        self.asked: list[tuple[str, str, bytes | None]] = []

    async def exchange(
        self, method: str, target: str, headers: bytes, body: bytes | None = None, timeout_s: float | None = None
    ) -> Answer:
        del headers, timeout_s
        self.asked.append((method, target, body))
        return self.answers.popleft()

    async def close(self) -> None:
        """Nothing is open."""


class FakeDesk:
    """One attempt, as its questions see it."""

    def __init__(self, *answers: Answer, extended: bool = True, stop: StopRequest | None = None) -> None:
        self.wire = Wire(list(answers))
        self.api = AttemptApi(Client(self.wire, self.wire), TI, "t", RetryPolicy(tries=1, patience_s=0.0))
        self.api.saves = itertools.count(1)
        self.ti_id = TI
        self.extended = extended
        self.masked: list[object] = []
        self.noted: list[object] = []
        self.stop = stop
        self.channels: list[int] = []

    async def speak(self, message: Message) -> ErrorResponse | None:
        self.noted.append(message)
        return None

    def limit(self, seconds: float) -> None:
        self.noted.append(seconds)

    def progress(self) -> None:
        self.noted.append("progress")

    def saved(self) -> None:
        self.noted.append("saved")

    def stop_request(self) -> StopRequest | None:
        return self.stop

    def log_channel(self) -> int | None:
        return self.channels.pop() if self.channels else None

    def mask(self, value: object) -> None:
        self.masked.append(value)


def asked(desk: FakeDesk, message: Message) -> Message | None:
    """Ask a question at a desk."""
    return asyncio.run(answer(desk, message))


def found(body: bytes = b"", status: int = 200, **headers: str) -> Answer:
    """Give an answer of the API's."""
    more = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Answer(status, JSON | more, body)


def refused(status: int, reason: str = "not_found") -> Answer:
    """Give a refusal of the API's."""
    return found(b'{"detail":{"reason":"%b","message":"m"}}' % reason.encode(), status)
