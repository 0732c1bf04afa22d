"""What a child costs beside its task: to begin, to ask, to print, to end.

It is forked from a process that imported it, as the keeper does. The floors are what the machine asks for the same: a
fork that exits, a bare ping-pong, a bare pipe.
"""

import gc
import os
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

from bench.harness import Row, emit, median_and_spread
from protocol.messages.variables import GetVariable, VariableResult
from protocol.session import Asked, SupervisorSession
from runner.authoring import load_module
from runner.child import main as run_child
from tests.runner.samples import greeting

FLOW = """
import os, time
from runner import task
from protocol.messages.variables import GetVariable

@task
def nothing(): pass

@task
def first_line():
    print(time.perf_counter_ns())

@task
def asks(ctx):
    start = time.perf_counter_ns()
    for _ in range({asks}):
        ctx.ask(GetVariable("a_key"))
    print((time.perf_counter_ns() - start) / {asks} / 1000)

@task
def prints():
    for _ in range({lines}):
        print("a line of about eighty characters, which is what people print, again and again")

@task
def sleeps():
    print("sleeping")
    time.sleep(600)
"""
PING = b"x" * 40
END = struct.Struct("d")


class Children:
    """Forks children and is their supervisor."""

    def __init__(self, flow: Path) -> None:
        self._path = str(flow).lstrip("/")

    def fork(self) -> tuple[int, socket.socket, int, int]:
        """Give a child's pid, and our ends of its frames, stdout and log."""
        ours, theirs = socket.socketpair()
        out_read, out_write = os.pipe()
        log_read, log_write = os.pipe()
        pid = os.fork()
        if not pid:
            os.dup2(out_write, 1)
            for each in (out_read, out_write, log_read):
                os.close(each)
            ours.close()
            os._exit(run_child(theirs.detach(), log_write))
        theirs.close()
        os.close(out_write)
        os.close(log_write)
        return pid, ours, out_read, log_read

    def serve(self, channel: socket.socket, task_id: str) -> tuple[int, int]:
        """Greet and answer to the end: when the last answer was sent, and when the channel closed, in nanoseconds."""
        session = SupervisorSession()
        channel.sendall(session.greet(greeting(self._path, task_id)))
        last = 0
        while data := channel.recv(65536):
            for event in session.receive(data):
                if isinstance(event, Asked):
                    reply = VariableResult("a_key", "a value") if isinstance(event.message, GetVariable) else None
                    frame = session.answer(event.id, reply)
                    last = time.perf_counter_ns()
                    channel.sendall(frame)
        return last, time.perf_counter_ns()

    def run(self, task_id: str) -> dict[str, float]:
        """Run one child to its end, and give what it took, in microseconds."""
        start = time.perf_counter_ns()
        pid, channel, out, log = self.fork()
        answered, _ = self.serve(channel, task_id)
        _, status, usage = os.wait4(pid, 0)
        ended = time.perf_counter_ns()
        assert status == 0, os.read(log, 10_000)
        printed = os.read(out, 100)
        channel.close()
        os.close(out)
        os.close(log)
        return {
            "cpu": (usage.ru_utime + usage.ru_stime) * 1e6,
            "wall": (ended - start) / 1e3,
            "end": (ended - answered) / 1e3,
            "begin": (int(printed) - start) / 1e3 if task_id == "first_line" else 0.0,
            "asked": float(printed) if task_id == "asks" else 0.0,
        }

    def prints(self, lines: int) -> float:
        """Give the lines per second of a child that prints them as fast as it can."""
        pid, channel, out, log = self.fork()
        session = SupervisorSession()
        channel.sendall(session.greet(greeting(self._path, "prints")))
        start, read = time.perf_counter(), 0
        size = len("a line of about eighty characters, which is what people print, again and again\n")
        while read < lines * size:
            read += len(os.read(out, 1 << 16))
        rate = lines / (time.perf_counter() - start)
        [event] = session.receive(channel.recv(65536))
        assert isinstance(event, Asked)
        channel.sendall(session.answer(event.id, None))
        os.waitpid(pid, 0)
        channel.close()
        os.close(out)
        os.close(log)
        return rate

    def memory(self, count: int) -> float:
        """Give what a further sleeping child adds to the PSS of all, in MB."""
        children, alone = [], _pss(os.getpid())
        for _ in range(count):
            pid, channel, out, log = self.fork()
            channel.sendall(SupervisorSession().greet(greeting(self._path, "sleeps")))
            assert os.read(out, 100) == b"sleeping\n"
            children.append((pid, channel, out, log))
        pss = (sum(_pss(pid) for pid, *_ in children) + _pss(os.getpid()) - alone) / count
        for pid, channel, out, log in children:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            channel.close()
            os.close(out)
            os.close(log)
        return pss / 1024


def _pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("Pss:"))


def bare_fork() -> dict[str, float]:
    """Fork and exit at once: what nothing at all costs here."""
    start = time.perf_counter_ns()
    pid = os.fork()
    if not pid:
        os._exit(0)
    _, _, usage = os.wait4(pid, 0)
    return {"cpu": (usage.ru_utime + usage.ru_stime) * 1e6, "wall": (time.perf_counter_ns() - start) / 1e3}


def ping_pong(times: int) -> float:
    """Give the microseconds of a bare round trip over a socket pair between two processes."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        for _ in range(times):
            theirs.send(theirs.recv(100))
        os._exit(0)
    start = time.perf_counter()
    for _ in range(times):
        ours.send(PING)
        ours.recv(100)
    took = (time.perf_counter() - start) / times * 1e6
    os.waitpid(pid, 0)
    ours.close()
    theirs.close()
    return took


def bare_pipe(lines: int) -> float:
    """Give the lines per second of a child that writes them with `os.write`, one call each."""
    reader, writer = os.pipe()
    line = b"a line of about eighty characters, which is what people print, again and again\n"
    pid = os.fork()
    if not pid:
        for _ in range(lines):
            os.write(writer, line)
        os._exit(0)
    os.close(writer)
    start = time.perf_counter()
    while os.read(reader, 1 << 16):
        pass
    rate = lines / (time.perf_counter() - start)
    os.waitpid(pid, 0)
    os.close(reader)
    return rate


def measure(*, quick: bool) -> list[Row]:
    """Take all measurements in turn."""
    rounds, asks, lines = (5, 500, 20_000) if quick else (30, 3_000, 300_000)
    with tempfile.TemporaryDirectory() as folder:
        flow = Path(folder) / "bench_flow.py"
        flow.write_text(FLOW.format(asks=asks, lines=lines))
        load_module(flow)
        children = Children(flow)
        gc.collect()
        gc.freeze()
        children.run("nothing")
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in NAMES}
        for _ in range(rounds):
            for name, one in _round(children, asks).items():
                taken[name].append(one)
        for _ in range(max(3, rounds // 10)):
            taken["printed lines"].append((children.prints(lines), bare_pipe(lines)))
        taken["memory of a further sleeping child"].append((children.memory(10), 0.0))
    return [_row(name, pairs) for name, pairs in taken.items()]


NAMES = {
    "CPU of a child that does nothing": "us",
    "fork to the task's first line": "us",
    "last answer to reaped": "us",
    "round trip": "us",
    "printed lines": "lines/s",
    "memory of a further sleeping child": "MB",
}


def _round(children: Children, asks: int) -> dict[str, tuple[float, float]]:
    nothing, floor, first = children.run("nothing"), bare_fork(), children.run("first_line")
    return {
        "CPU of a child that does nothing": (nothing["cpu"], floor["cpu"]),
        "fork to the task's first line": (first["begin"], floor["wall"]),
        "last answer to reaped": (nothing["end"], floor["wall"]),
        "round trip": (children.run("asks")["asked"], ping_pong(asks)),
    }


def _row(name: str, pairs: list[tuple[float, float]]) -> Row:
    ours, spread = median_and_spread([mine for mine, _ in pairs])
    floor, _ = median_and_spread([bare for _, bare in pairs])
    return Row(name=name, unit=NAMES[name], ours=ours, peers={}, floor=floor, runs=len(pairs), spread=spread)


if __name__ == "__main__":
    emit(measure(quick="--quick" in sys.argv), sys.argv)
