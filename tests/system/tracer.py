"""Counts the system calls of a program and of all that it starts: `python -m tests.system.tracer REPORT COMMAND …`.

A tracer of ours, because strace is on few machines, while ptrace needs no rights over one's own children, and the
kernel says by itself at which call they stand (PTRACE_GET_SYSCALL_INFO). Told of each process: its parent, what it
executes, its calls, and what its ancestors had called when it began; so what lies between two forks of a keeper is what
an attempt costs keeper and worker. Two things are counted apart, because how many they are depends on who was faster:
calls that only wait or wake another thread, and writes that append to a file, a line of a log or a record of the
journal: alone or several together. What those come to is counted in bytes and in waits for the disk.
"""

import ctypes
import json
import os
import platform
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

TRACEME, ON_TO_CALL, SETOPTIONS, CALL_INFO = 0, 24, 0x4200, 0x420E
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000  # mark calls; follow fork, vfork, clone, exec; nobody outlives us
WALL = 0x40000000
AT_CALL = signal.SIGTRAP | 0x80
EXEC = 4
ENTRY = 1
REFUSED = 77
FRAMES_FD = 3

CALLS = {
    "x86_64": {
        "read": {0, 19, 45, 47},
        "write": {1, 18, 20, 44, 46},
        "wait": {7, 24, 202, 219, 230, 232, 271, 281},
        "open": {2, 257},
    },
    "aarch64": {
        "read": {63, 65, 207, 212},
        "write": {64, 66, 68, 206, 211},
        "wait": {22, 73, 98, 115, 124, 128},
        "open": {56},
    },
}
"""By machine. Wait: poll, epoll, futex, yield, sleep, and what the kernel begins again after a stop."""
PLAIN_WRITE = {"x86_64": 1, "aarch64": 64}.get(platform.machine())
CLOSE = {"x86_64": 3, "aarch64": 57}.get(platform.machine())
EVENT, EVENTS = 8, 1024
"""By how many bytes uvloop wakes itself from another thread, and how many it reads then."""
HERE = {number: word for word, numbers in CALLS.get(platform.machine(), {}).items() for number in numbers}

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long


class Call(ctypes.Structure):
    """What the kernel says of a call."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("place", ctypes.c_uint64 * 2),  # after the machine's number, which alignment leaves room for
        ("values", ctypes.c_uint64 * 7),
    )


def ptrace(request: int, pid: int, address: int = 0, data: Any = 0) -> None:
    if libc.ptrace(request, pid, address, data) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Process:
    """One process, and what it has called."""

    def __init__(self, pid: int, parent: "Process | None") -> None:
        self.pid = pid
        self.parent = parent
        self.executes: list[str] = []
        self.calls: Counter[str] = Counter()
        self.opens: dict[int, bool] = {}
        """Of each thread: whether it stands in a call that opens a file."""
        self.files: set[int] = set()
        self.began: dict[int, Counter[str]] = {}
        while parent is not None:
            self.began[parent.pid] = parent.calls.copy()
            parent = parent.parent

    def told(self) -> dict[str, Any]:
        parent = None if self.parent is None else self.parent.pid
        found = {"pid": self.pid, "parent": parent, "executes": self.executes}
        return found | {"calls": self.calls, "began": self.began}


class Tracer:
    """Follows a program until nothing of it is left."""

    def __init__(self, root: int) -> None:
        self.root = Process(root, None)
        self.threads = {root: self.root}
        self.processes = [self.root]

    def run(self) -> int:
        """Follow: the exit code of the first."""
        code = 0
        while self.threads:
            pid, status = os.waitpid(-1, WALL)
            if not os.WIFSTOPPED(status):
                self.threads.pop(pid, None)
                code = os.waitstatus_to_exitcode(status) if pid == self.root.pid else code
                continue
            try:
                ptrace(ON_TO_CALL, pid, 0, self.stopped(pid, os.WSTOPSIG(status), status >> 16))
            except ProcessLookupError:  # killed as it stood
                continue
        return code

    def stopped(self, pid: int, number: int, event: int) -> int:
        """Take one stop; give the signal that it is to go on with."""
        if pid not in self.threads:
            self.threads[pid] = self.appeared(pid)
        elif number == AT_CALL:
            self.call(pid)
        elif event == EXEC:
            self.threads[pid].executes = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        elif not event:
            return number
        return 0

    def appeared(self, pid: int) -> Process:
        """Take a process, or a thread, that is new: both begin with a stop."""
        lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        facts = {words[0]: words[1] for words in lines if len(words) > 1}
        leader, parent = int(facts["Tgid:"]), int(facts["PPid:"])
        if leader != pid:
            return self.threads[leader]
        self.processes.append(Process(pid, self.threads.get(parent)))
        return self.processes[-1]

    def call(self, pid: int) -> None:
        """Count a call as it begins. A frame is one call (decision 0003), on a child's third descriptor."""
        call = Call()
        ptrace(CALL_INFO, pid, ctypes.sizeof(call), ctypes.byref(call))
        process = self.threads[pid]
        if call.op == ENTRY:
            number, fd, _, size = call.values[:4]
            word = HERE.get(number, "other")
            process.opens[pid] = word == "open"
            if number == CLOSE:
                process.files.discard(fd)
            if number == PLAIN_WRITE:
                word = "file" if fd in process.files else "wait" if size == EVENT else "write"
            elif (word, size) == ("read", EVENTS):
                word = "wait"
            process.calls[word] += 1
            if fd == FRAMES_FD and word in {"read", "write"}:
                process.calls[f"frames {word}"] += 1
        elif process.opens.get(pid):
            process.files.add(call.values[0])


def main(report: str, *command: str) -> int:
    """Trace a program, and write down what was counted."""
    root = os.fork()
    if root == 0:
        try:
            ptrace(TRACEME, 0)
        except PermissionError:
            os._exit(REFUSED)
        signal.raise_signal(signal.SIGSTOP)
        os.execvp(command[0], command)  # noqa: S606 - it is the point
    if os.WIFEXITED(os.waitpid(root, 0)[1]) or not HERE:
        sys.stderr.write("nobody may trace his own children here, or the calls of this machine are not known")
        return REFUSED
    ptrace(SETOPTIONS, root, 0, OPTIONS)
    tracer = Tracer(root)
    ptrace(ON_TO_CALL, root)
    code = tracer.run()
    Path(report).write_text(json.dumps([process.told() for process in tracer.processes]))
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
