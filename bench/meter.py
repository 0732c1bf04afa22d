"""What a program costs, seen from outside: CPU and memory of a process and all under it, the same for everyone.

A process that has ended is counted with whoever collected it, as the kernel does. So nothing is lost as long as
parents wait for their children, which all that is measured here do.
"""

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

import psutil

_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def family(pid: int) -> list[int]:
    """Give a process and all under it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def cpu_s(pids: Iterable[int]) -> float:
    """Sum the CPU of processes, and of what each has collected."""
    return sum(map(process_cpu, pids))


def process_cpu(pid: int) -> float:
    """Give the CPU of a process and of the children it has collected; of one that is gone, nothing."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return sum(split_cpu(pid))
    return 0.0


def split_cpu(pid: int) -> tuple[float, float]:
    """Give the seconds of CPU of a process by itself, and of the children it has collected."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    own, theirs = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
    tick = os.sysconf("SC_CLK_TCK")
    return own / tick, theirs / tick


def pss_kib(pids: Iterable[int]) -> int:
    """Sum the proportional memory of processes: a shared page is divided among those who share it."""
    total = 0
    for pid in pids:
        match = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
        assert match is not None
        total += int(match[1])
    return total
