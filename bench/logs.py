"""Printed lines per second into the attempt's log: `python -m bench.logs [--quick] [--json]`.

A child prints as fast as it can; the clock runs from its start until its last line is in the file. Ours is the whole
way: pipe, loop, masking two secrets, records, the writing thread. The floor is a program without a loop, which reads
the same pipe and writes the same records. Beside the rate, what a line costs the supervisor in CPU.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench.harness import Row, emit, median_and_spread
from supervisor.logs import LogSettings
from supervisor.logs_masking import Masker
from supervisor.logs_pump import LogPump
from supervisor.logs_records import Source

LINE = "step 12345 of the training: loss 0.12345, 17 rows a second"
RECORD = '{"timestamp":"2026-01-02T03:04:05.678901Z","level":"info","event":"step done","logger":"train","step":12345}'
PRINTS = "import sys\nwrite, line = sys.stdout.write, {line!r} + chr(10)\nfor _ in range({count}): write(line)"


def child(line: str, count: int, end: int) -> "subprocess.Popen[bytes]":
    """Start a program that prints so many lines."""
    return subprocess.Popen([sys.executable, "-S", "-c", PRINTS.format(line=line, count=count)], stdout=end)


async def ours(line: str, count: int, path: Path, source: Source) -> tuple[float, float]:
    """Give lines per second, and CPU microseconds per line here."""
    pump = LogPump(LogSettings(max_bytes=1 << 40))
    log = pump.open(path, Masker(["a-secret-token", "another-secret"]))
    read, write = os.pipe()
    log.attach(read, source)
    began, cpu = time.perf_counter(), time.process_time()
    with child(line, count, write):
        os.close(write)
        await log.finish(600.0)
        took, used = time.perf_counter() - began, time.process_time() - cpu
    await pump.stop()
    return count / took, used / count * 1e6


def floor(line: str, count: int, path: Path) -> float:
    """Give the lines per second of a bare reader."""
    read, write = os.pipe()
    encode = msgspec.json.Encoder().encode
    head = b'{"timestamp":"2026-01-02T03:04:05.678901Z","level":"info","source":"stdout","event":'
    began = time.perf_counter()
    with child(line, count, write), path.open("wb", buffering=0) as file:
        os.close(write)
        rest = b""
        while data := os.read(read, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            file.write(b"".join([head + encode(text.decode()) + b"}\n" for text in lines]))
        took = time.perf_counter() - began
    os.close(read)
    return count / took


def written(path: Path) -> int:
    """Count what arrived, and make room."""
    with path.open("rb") as file:
        count = sum(1 for _ in file)
    path.unlink()
    return count


def main(arguments: list[str]) -> None:
    """Measure, interleaved."""
    quick = "--quick" in arguments
    count, runs = (100_000, 3) if quick else (1_000_000, 5)
    rates: dict[str, list[float]] = {"printed": [], "cpu": [], "floor": [], "logged": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        for _ in range(runs):
            rate, cpu = asyncio.run(ours(LINE, count, path, Source.STDOUT))
            rates["printed"].append(rate)
            rates["cpu"].append(cpu)
            assert written(path) == count
            rates["logged"].append(asyncio.run(ours(RECORD, count // 4, path, Source.LOG))[0])
            assert written(path) == count // 4
            rates["floor"].append(floor(LINE, count, path))
            assert written(path) == count
    lowest, _ = median_and_spread(rates["floor"])
    rows = []
    for name, unit, key, beside in (
        ("printed lines into the attempt's log", "lines/s", "printed", lowest),
        ("CPU of the supervisor per printed line", "us", "cpu", None),
        ("records of the log channel into the attempt's log", "lines/s", "logged", None),
    ):
        middle, spread = median_and_spread(rates[key])
        rows.append(Row(name, unit, middle, {}, beside, runs, spread))
    emit(rows, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
