"""Small children that speak frames, for tests and benchmarks. The task's id names what the child does.

The keeper imports this module as its entry. A child talks over a blocking socket through `protocol.session`, as a
foreign runtime would, and does one thing: mostly something that a well-behaved runner never does.
"""

import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from protocol.frames import encode_frame
from protocol.messages.checkpoints import CheckpointSaved, CheckpointTask, GetStopRequest, SaveCheckpoint
from protocol.messages.control import ReportProgress, ResendLoggingFD, SetExecutionTimeout
from protocol.messages.outcomes import (
    AwaitInputTask,
    DeferTask,
    RescheduleTask,
    RetryTask,
    SucceedTask,
    TaskState,
)
from protocol.messages.shape import Message
from protocol.messages.startup import StartupDetails
from protocol.messages.variables import GetVariable
from protocol.session import Answered, Ended, Failed, Greeted, RunnerSession
from tests.system.questions import QUESTIONS

MIB = 1024 * 1024


RunnerSession()  # builds the decoders once, in the keeper, and not in every child


class Talk:
    """The child's end."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=fd)
        self.session = RunnerSession()
        self.pending: list[object] = []
        greeted = self.next()
        assert isinstance(greeted, Greeted)
        assert isinstance(greeted.message, StartupDetails)
        self.task_id = greeted.message.ti.task_id

    def next(self) -> object:
        while not self.pending:
            data = self.socket.recv(65536)
            self.pending += self.session.receive(data) if data else self.session.receive_end()
        return self.pending.pop(0)

    def ask(self, message: Message) -> Answered | Failed:
        number, frame = self.session.ask(message)
        self.socket.sendall(frame)
        event = self.next()
        assert isinstance(event, Answered | Failed), event
        assert event.id == number
        return event

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)


def out(value: object) -> None:
    """Print, past what a forked interpreter has buffered."""
    os.write(1, f"{value}\n".encode())


def now() -> datetime:
    return datetime.now(UTC)


WORDS: dict[str, Callable[[], Message]] = {
    "success": lambda: SucceedTask(now()),
    "failed": lambda: TaskState("failed", now()),
    "skipped": lambda: TaskState("skipped", now()),
    "removed": lambda: TaskState("removed", now()),
    "up_for_retry": lambda: RetryTask(now()),
    "up_for_reschedule": lambda: RescheduleTask(now(), now()),
    "deferred": lambda: DeferTask("a.Trigger", "execute_complete"),
    "awaiting_input": lambda: AwaitInputTask("execute_complete"),
    "checkpointed": lambda: CheckpointTask(now(), data={"step": 3}),
}


def hang() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Event().wait()


def die(ending: str) -> None:
    """End as the rest of the task's id says: `exit5`, `segv`, `kill`, `hang`, `deaf` (to SIGTERM)."""
    if ending.startswith("exit"):
        os._exit(int(ending[4:]))
    if ending == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        threading.Event().wait()
    if ending == "hang":
        hang()
    os.kill(os.getpid(), {"segv": signal.SIGSEGV, "kill": signal.SIGKILL, "term": signal.SIGTERM}[ending])
    threading.Event().wait()


def say(talk: Talk, word: str, then: str = "exit0") -> None:
    assert isinstance(talk.ask(WORDS[word]()), Answered)
    die(then)


def shout(talk: Talk, word: str, then: str = "exit0") -> None:
    """Say it and do not wait for an answer."""
    _, frame = talk.session.ask(WORDS[word]())
    talk.send(frame)
    die(then)


def silent(_: Talk, then: str = "exit0") -> None:
    die(then)


def twice(talk: Talk, first: str, second: str) -> None:
    assert isinstance(talk.ask(WORDS[first]()), Answered)
    assert isinstance(talk.ask(WORDS[second]()), Failed)
    die("exit0")


def declined(talk: Talk, first: str, second: str) -> None:
    """The first word is refused by the server; the second one counts."""
    assert isinstance(talk.ask(WORDS[first]()), Failed)
    assert isinstance(talk.ask(WORDS[second]()), Answered)
    die("exit0")


def save(talk: Talk, then: str = "hang") -> None:
    assert isinstance(talk.ask(SaveCheckpoint(data={"step": 1}, progress=1.0)), Answered)
    die(then)


def notice(talk: Talk) -> None:
    """Wait for SIGTERM, ask why, and end on a checkpoint."""
    noticed = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: noticed.set())
    talk.ask(GetVariable("ready"))
    noticed.wait()
    answer = talk.ask(GetStopRequest())
    assert isinstance(answer, Answered)
    out(answer.reply)
    say(talk, "checkpointed")


def stubborn(talk: Talk) -> None:
    """Take SIGTERM, go on, and finish after all."""
    noticed = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: noticed.set())
    talk.ask(ReportProgress())
    noticed.wait()
    say(talk, "success")


def limited(talk: Talk) -> None:
    talk.ask(SetExecutionTimeout(0.2))
    hang()


def progress(talk: Talk) -> None:
    for _ in range(3):
        talk.ask(ReportProgress(1.0))
    hang()


def read(talk: Talk, count: str) -> None:
    for _ in range(int(count)):
        assert isinstance(talk.ask(GetVariable("k")), Answered)
    say(talk, "success")


def reads(talk: Talk, count: str, every_ms: str) -> None:
    """Read a variable from time to time, so often, and then succeed."""
    pause = threading.Event()
    for _ in range(int(count)):
        assert isinstance(talk.ask(GetVariable("k")), Answered)
        pause.wait(int(every_ms) / 1000)
    say(talk, "success")


def asks(talk: Talk, kind: str, seconds: str, word: str) -> None:
    """Ask the same for so long, one after the other, and get an answer each time. Then say how it ended."""
    from time import perf_counter  # noqa: PLC0415 - as for `local`

    until = perf_counter() + float(seconds)
    while perf_counter() < until:
        assert isinstance(talk.ask(QUESTIONS[kind]()), Answered)
    say(talk, word)


def saves(talk: Talk) -> None:
    """Save again and again; end on a record when an answer says so."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    for step in count(1):
        saved = talk.ask(SaveCheckpoint(data={"step": step}, progress=step))
        assert isinstance(saved, Answered)
        assert isinstance(saved.reply, CheckpointSaved)
        if saved.reply.stopping:
            assert isinstance(talk.ask(CheckpointTask(now())), Answered)
            return


def traced(talk: Talk) -> None:
    """Ask once in the attempt's own trace, once in another, and say how it ended in the first again."""
    talk.ask(GetVariable("k"))
    parent = "00-11111111111111111111111111111111-2222222222222222-01"
    talk.send(talk.session.ask(GetVariable("k"), {"traceparent": parent})[1])
    talk.next()
    say(talk, "success")


def relogs(talk: Talk, count: str) -> None:
    """Ask for so many further log channels, and say something over each that comes."""
    for number in range(int(count)):
        talk.send(talk.session.ask(ResendLoggingFD())[1])
        data, fds, _, _ = socket.recv_fds(talk.socket, 65536, 1)
        talk.pending += talk.session.receive(data)
        event = talk.next()
        assert isinstance(event, Answered) is bool(fds)
        for fd in fds:
            os.write(fd, b'{"level":"info","event":"over channel %d"}\n' % number)
    say(talk, "success")


def poison(talk: Talk) -> None:
    """Write to the log channel what is no record, or a strange one."""
    lines = (b"[1,2]", b'{"event":"no level"}', b'{"level":"info","msg":"m","target":"t"}', b"null", b"\xff\xfe")
    wrong = (b'{"level":"info","timestamp":1}', b'{"level":5}', b'{"level":"info","event":' + b"[" * 5000)
    os.write(4, b"\n".join((*lines, *wrong, b"")))
    say(talk, "success")


def local(talk: Talk, count: str) -> None:
    """Round trips that need no API; the time of one, in microseconds, goes to stdout."""
    from time import perf_counter  # noqa: PLC0415 - only this child measures

    question = ReportProgress()
    begin = perf_counter()
    for _ in range(int(count)):
        talk.ask(question)
    out((perf_counter() - begin) / int(count) * 1e6)
    say(talk, "success")


# --- bad input ----------------------------------------------------------------------------------------------------


def meanwhile(talk: Talk, *then: str) -> None:
    """Say that it is there, wait until the test says so, and then do something else that children do."""
    out("here")
    go = Path(os.environ["TASKHAND_BLOBS"]).parent / "go"
    while not go.exists():
        threading.Event().wait(0.01)
    BEHAVIOURS[then[0]](talk, *then[1:])


def prints(talk: Talk, count: str) -> None:
    """Print numbered lines, in two halves of a line each, and end well."""
    for number in range(int(count)):
        os.write(1, f"line {number} ".encode())
        os.write(1, b"x" * 100 + b"\n")
    say(talk, "success")


def exits(_: Talk, code: str) -> None:
    os._exit(int(code))


def stops(talk: Talk, _: str) -> None:
    """Wait for SIGTERM, and then for the test; ask why, and end on a checkpoint."""
    noticed = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: noticed.set())
    talk.ask(ReportProgress())
    out("here")
    while not noticed.wait(0.01):
        pass
    out("noticed")
    go = Path(os.environ["TASKHAND_BLOBS"]).parent / "go"
    while not go.exists():
        threading.Event().wait(0.01)
    answer = talk.ask(GetStopRequest())
    assert isinstance(answer, Answered)
    stop = getattr(answer.reply, "stop", None)
    out(f"reason {stop and stop.reason}")
    say(talk, "checkpointed")


def raw(talk: Talk, hexadecimal: str) -> None:
    talk.send(bytes.fromhex(hexadecimal))
    hang()


def deaf_after(talk: Talk, hexadecimal: str) -> None:
    """Say what cannot be read, and wait for an answer with SIGTERM ignored: only the channel's end can end it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    talk.send(bytes.fromhex(hexadecimal))
    assert isinstance(talk.next(), Ended)
    os._exit(74)


def refused(talk: Talk, hexadecimal: str) -> None:
    """A frame that cannot be read but has an id is answered with an error, and the conversation goes on."""
    talk.session.open[7] = ReportProgress
    talk.send(bytes.fromhex(hexadecimal))
    assert isinstance(talk.next(), Failed)
    say(talk, "success")


def bytewise(talk: Talk) -> None:
    number, frame = talk.session.ask(ReportProgress())
    for byte in frame:
        talk.send(bytes([byte]))
    event = talk.next()
    assert isinstance(event, Answered)
    assert event.id == number
    say(talk, "success")


def pipelined(talk: Talk, count: str) -> None:
    """Ask so often before reading an answer; half of it needs the API."""
    frames = [talk.session.ask(GetVariable("k") if n % 2 else ReportProgress()) for n in range(int(count))]
    sender = threading.Thread(target=talk.send, args=(b"".join(frame for _, frame in frames),))
    sender.start()
    answered: set[int] = set()
    while len(answered) < int(count):
        event = talk.next()
        assert isinstance(event, Answered), event
        answered.add(event.id)
    sender.join()
    assert answered == {number for number, _ in frames}
    say(talk, "success")


def unread(talk: Talk, count: str) -> None:
    """Ask for a big value again and again, and never read an answer."""
    for _ in range(int(count)):
        talk.send(talk.session.ask(GetVariable("big"))[1])
    hang()


def closes(talk: Talk, then: str = "hang") -> None:
    talk.socket.close()
    die(then)


def header(talk: Talk, length: str) -> None:
    talk.send(struct.pack(">I", int(length)))
    hang()


def collides(talk: Talk) -> None:
    """Use the greeting's id for the first question, as Airflow's runner does."""
    talk.session.open[0] = ReportProgress
    talk.send(encode_frame((0, {"type": "ReportProgress"}, None)))
    event = talk.next()
    assert isinstance(event, Answered)
    assert event.id == 0
    say(talk, "success")


BEHAVIOURS: dict[str, Callable[..., None]] = {
    each.__name__: each
    for each in (
        say, shout, silent, twice, declined, save, notice, stubborn, limited, progress, read, reads, asks, traced,
        relogs, poison, local, saves,
        meanwhile, prints, exits, stops,
        raw, deaf_after, refused, bytewise, pipelined, unread, closes, header, collides,
    )
}  # fmt: skip


def main(frames_fd: int | None, logs_fd: int | None) -> int:
    """What the keeper calls: `behaviour.argument.argument` is the task's id."""
    del logs_fd
    assert frames_fd is not None
    talk = Talk(frames_fd)
    name, *arguments = talk.task_id.split(".")
    BEHAVIOURS[name](talk, *arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(os.environ["TASKHAND_FD"]), None))
