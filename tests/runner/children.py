"""A real child: our runner in a process of its own, with this test as its supervisor."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from protocol.messages.checkpoints import CheckpointResult, CheckpointSaved, SaveCheckpoint
from protocol.messages.control import ErrorResponse, OKResponse
from protocol.messages.shape import Message
from protocol.session import Asked, Broken, Heard, SupervisorSession
from protocol.vocabulary import ANSWERS, TERMINAL
from tests.runner.samples import greeting

ROOT = Path(__file__).parent.parent.parent
Answer = Callable[[Message], Message | None]


def acknowledge(message: Message) -> Message | None:
    """Answer what needs no facts: an empty frame, or that it was done."""
    if isinstance(message, SaveCheckpoint):
        return CheckpointSaved(1)
    wanted = ANSWERS[type(message)].reply
    if wanted is OKResponse:
        return OKResponse(ok=True)
    if wanted is CheckpointResult:
        return CheckpointResult()
    return None if wanted is type(None) else ErrorResponse()


class Child:
    """A child that was started. `run` answers until it ends."""

    def __init__(self, cwd: Path, environment: dict[str, str]) -> None:
        self.session = SupervisorSession()
        self.asked: list[Message] = []
        self._heard: deque[Heard] = deque()
        self._ended = False
        self.last = 0
        """The number of the question that came last."""
        self.fault: Broken | None = None
        self.channel, theirs = socket.socketpair()
        log_read, log_write = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runner"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(), log_write),
            cwd=cwd,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "TASKHAND_FD": str(theirs.fileno()),
                "TASKHAND_LOG_FD": str(log_write),
                **environment,
            },
        )
        theirs.close()
        os.close(log_write)
        self.out = _Drain(self.process.stdout)
        self.err = _Drain(self.process.stderr)
        self._logs = _Drain(os.fdopen(log_read, "rb"))

    @staticmethod
    def python(source: str) -> str:
        """Run a line of Python in an interpreter of its own, and give what it prints."""
        done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, check=True, text=True)
        return done.stdout

    def greet(self, message: Message) -> None:
        self.channel.sendall(self.session.greet(message))

    def run(self, answer: Answer = acknowledge, until: Callable[[Message], bool] = lambda _: False) -> int | None:
        """Answer questions until the channel ends, or until one that is left open. Give the exit code, if it ended."""
        while True:
            while self._heard:
                event = self._heard.popleft()
                if isinstance(event, Asked):
                    self.asked.append(event.message)
                    self.last = event.id
                    if until(event.message):
                        return None
                    self.reply(event.id, answer(event.message))
                elif isinstance(event, Broken):
                    self.fault = event
            if self._ended:
                return self.wait()
            self._listen()

    def _listen(self) -> None:
        try:
            data = self.channel.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        self._ended = not data
        self._heard.extend(self.session.receive(data) if data else self.session.receive_end())

    def reply(self, number: int, message: Message | None) -> None:
        try:
            self.channel.sendall(self.session.answer(number, message))
        except BrokenPipeError:
            return

    def wait(self) -> int:
        return self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def printed(self, text: bytes) -> None:
        """Wait until it printed this."""
        self.out.until(text)

    @property
    def logs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._logs.all().splitlines()]

    def logged(self, text: bytes) -> None:
        self._logs.until(text)

    @property
    def terminal(self) -> list[Message]:
        return [message for message in self.asked if type(message) in TERMINAL]

    def close(self) -> None:
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for each in (self.out, self.err, self._logs):
            each.close()


class _Drain:
    """Reads a pipe to its end, so that nobody blocks on it."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._data = bytearray()
        self._news = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._pipe.fileno(), 1 << 16):
            with self._news:
                self._data += data
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def until(self, text: bytes) -> None:
        with self._news:
            assert self._news.wait_for(lambda: text in self._data or self._ended, timeout=20)
            assert text in self._data, bytes(self._data)

    def all(self) -> bytes:
        with self._news:
            self._news.wait_for(lambda: self._ended, timeout=20)
            return bytes(self._data)

    def close(self) -> None:
        self._thread.join(timeout=20)
        self._pipe.close()


@contextmanager
def child(cwd: Path, **environment: str) -> Iterator[Child]:
    started = Child(cwd, environment)
    try:
        yield started
    finally:
        started.close()


class Flows:
    """Writes flow files and starts children on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, source: str) -> str:
        path = self.folder / "flow_file.py"
        path.write_text(source)
        return str(path).lstrip("/")

    @contextmanager
    def started(self, source: str, environment: dict[str, str] | None = None, **context: Any) -> Iterator[Child]:
        with child(self.folder, **(environment or {})) as one:
            one.greet(greeting(self.file(source), **context))
            yield one
