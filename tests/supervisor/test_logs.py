"""The attempts' logs, with real pipes, files and disks."""

import asyncio
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from supervisor.logs import AttemptLog, LogSettings
from supervisor.logs_masking import Masker
from supervisor.logs_pump import LogPump
from supervisor.logs_records import Source
from supervisor.slate import Slate
from tests.supervisor.keeper.world import fds, in_loop, until

SETTINGS = LogSettings()


def events(path: Path) -> list[object]:
    return [record["event"] for record in records(path)]


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def piped(log: AttemptLog, source: Source = Source.STDOUT) -> int:
    """Attach a new pipe to a log: the end to write to, which does not block."""
    read, write = os.pipe()
    log.attach(read, source)
    os.set_blocking(write, False)
    return write


async def put(fd: int, data: bytes) -> None:
    """Write all of it into a pipe, as its reader makes room."""
    loop = asyncio.get_running_loop()
    view = memoryview(data)
    while view:
        room = asyncio.Event()
        loop.add_writer(fd, room.set)
        await room.wait()
        loop.remove_writer(fd)
        view = view[os.write(fd, view[: 1 << 20]) :]


def rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@in_loop
async def test_three_sources_make_one_file(tmp_path: Path) -> None:
    before = fds()
    pump = LogPump(SETTINGS)
    log = pump.open(tmp_path / "deep" / "er" / "attempt.jsonl", Masker(["hunter2"]))
    log.say("info", "it begins", attempt="a", word="hunter2")
    out, err, logs = (piped(log, source) for source in (Source.STDOUT, Source.STDERR, Source.LOG))
    os.write(out, b"printed hunter2\nand more")
    os.write(err, b"\xff\x00 trouble\n")
    os.write(logs, b'{"event":"logged","level":"debug","x":1}\nnot json\n[1]\n{"msg":"m"}\n\n')
    for fd in (out, err, logs):
        os.close(fd)
    totals = await log.finish(20.0)
    found = records(tmp_path / "deep" / "er" / "attempt.jsonl")
    assert found[0]["word"] == "***"
    assert {record["event"] for record in found if record["source"] == "stdout"} == {"printed ***", "and more"}
    assert [record["event"] for record in found if record["source"] == "stderr"] == ["\\xff\0 trouble"]
    assert [record["event"] for record in found if record["source"] == "log"] == ["logged", "not json", "[1]", ""]
    assert totals.written_bytes == (tmp_path / "deep" / "er" / "attempt.jsonl").stat().st_size
    assert (totals.dropped_lines, totals.lost_lines) == (0, 0)
    await pump.stop()
    assert fds() == before


@in_loop
async def test_a_secret_that_arrives_in_two_reads_is_masked(tmp_path: Path) -> None:
    pump = LogPump(SETTINGS)
    log = pump.open(tmp_path / "log", Masker(["a-long-secret"]))
    write = piped(log)
    await put(write, b"it is a-lon")
    await until(lambda: log.totals.read_bytes == 11)
    await put(write, b"g-secret\n")
    log.masker.add("another")
    await until(lambda: log.totals.read_bytes == 20)
    await put(write, b"and another\n")
    os.close(write)
    await log.finish(20.0)
    assert events(tmp_path / "log") == ["it is ***", "and ***"]
    await pump.stop()


@in_loop
async def test_a_line_of_100_mb_costs_its_limit(tmp_path: Path) -> None:
    pump = LogPump(SETTINGS)
    log = pump.open(tmp_path / "log")
    writes = [piped(log, source) for source in (Source.STDOUT, Source.LOG)]
    before = rss()
    for write in writes:
        await put(write, b"start:")
        for _ in range(100):
            await put(write, b"x" * (1 << 20))
        await put(write, b"\nafter\n")
        os.close(write)
    assert rss() - before < 16 << 20
    await log.finish(20.0)
    found = records(tmp_path / "log")
    assert [len(str(record["event"])) for record in found] == [SETTINGS.max_line, 5, SETTINGS.max_line, 5]
    assert found[0]["cut_bytes"] == 6 + (100 << 20) - SETTINGS.max_line
    await pump.stop()


@in_loop
async def test_beyond_its_size_lines_are_counted_and_the_child_goes_on(tmp_path: Path) -> None:
    pump = LogPump(msgspec.structs.replace(SETTINGS, max_bytes=100_000))
    log = pump.open(tmp_path / "log")
    write = piped(log)
    for _ in range(200):
        await put(write, b"a line of the flood\n" * 500)
    os.close(write)
    log.say("info", "the supervisor is still heard")
    totals = await log.finish(20.0)
    found = records(tmp_path / "log")
    kept = sum(record["source"] == "stdout" for record in found)
    assert totals.written_bytes < 400_000
    assert kept + totals.dropped_lines == 100_000
    assert found[-1] == found[-1] | {
        "event": "lines were dropped",
        "dropped_lines": totals.dropped_lines,
        "dropped_bytes": totals.dropped_bytes,
    }
    assert "limit of 100000 bytes" in str(found[-1]["reason"])
    assert "the supervisor is still heard" in events(tmp_path / "log")
    await pump.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting is root's")
@in_loop
async def test_a_full_disk_costs_lines_and_is_told_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], check=True)
    try:
        (disk / "ballast").write_bytes(b"x" * 32_768)
        faults: list[str] = []
        pump = LogPump(SETTINGS, faults.append)
        log = pump.open(disk / "log")
        write = piped(log)
        await put(write, b"before\n")
        await until(lambda: log.totals.written_bytes > 0)
        await put(write, b"the line that does not fit any more\n" * 1000)
        await until(lambda: log.totals.lost_lines > 0)
        await put(write, b"neither does this one, though it is one\n" * 1000)
        await until(lambda: log.totals.read_bytes == 7 + 36 * 1000 + 40 * 1000)
        await until(lambda: log._file.queued == 0)  # noqa: SLF001 - before there is room, or some of it is written
        (disk / "ballast").unlink()
        await put(write, b"after\n")
        os.close(write)
        totals = await log.finish(20.0)
        await pump.stop()
        lines = (disk / "log").read_bytes().splitlines()
    finally:
        subprocess.run(["/bin/umount", str(disk)], check=True)
    assert totals.lost_lines > 0
    assert [fault.split("log")[0] for fault in faults] == ["the "] * 2
    assert "No space left on device; lines are counted" in faults[0]
    assert f"is written again; {totals.lost_lines} lines were lost" in faults[1]
    whole = [json.loads(line) for line in lines if line.endswith(b"}")]
    assert len(lines) - len(whole) <= 1  # at most the one that was torn
    (loss,) = [record for record in whole if record["source"] == "supervisor"]
    assert (loss["lost_lines"], loss["reason"]) == (totals.lost_lines, "No space left on device")
    assert whole[-1]["event"] == "after"


@in_loop
async def test_a_file_that_cannot_be_made_costs_its_lines_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    faults: list[str] = []
    pump = LogPump(SETTINGS, faults.append)
    bad, good = pump.open(tmp_path / "file" / "log"), pump.open(tmp_path / "good")
    for log in (bad, good):
        write = piped(log)
        os.write(write, b"one\ntwo\n")
        os.close(write)
    assert (await bad.finish(20.0)).lost_lines == 2
    assert (await good.finish(20.0)).lost_lines == 0
    await pump.stop()
    assert len(faults) == 1


@in_loop
async def test_a_disk_that_hangs_stops_the_child_first_and_then_loses_its_lines(tmp_path: Path) -> None:
    """The disk is a pipe that nobody reads: writing to it blocks as a dead network file system does."""
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    pump = LogPump(msgspec.structs.replace(SETTINGS, stall_s=0.2))
    log = pump.open(fifo)
    write = piped(log)
    loop = asyncio.get_running_loop()
    flood = asyncio.create_task(put(write, b"a line of the flood\n" * 800_000))
    began = loop.time()
    await flood  # it ends: what cannot be written is dropped, not kept, and the child is not held for ever
    assert loop.time() - began >= 0.2
    os.close(write)
    ending = asyncio.create_task(log.finish(20.0))
    os.set_blocking(reader, False)
    text = b""
    while not ending.done():
        await asyncio.sleep(0)
        try:
            text += os.read(reader, 1 << 20)
        except BlockingIOError:
            continue
    totals = await ending
    await pump.stop()
    os.close(reader)
    assert 0 < totals.dropped_lines < 800_000
    assert b"has taken nothing for 0.2 s" in text
    assert b'"event":"lines were dropped"' in text


@in_loop
async def test_a_flood_does_not_delay_the_loop(tmp_path: Path) -> None:
    """What the loop is late by while children flood is bounded by a turn's budget, not by how much there is to read."""
    pump = LogPump(SETTINGS)
    floods, logs = [], []
    for number in range(4):
        log = pump.open(tmp_path / str(number))
        read, write = os.pipe()
        log.attach(read, Source.STDOUT)
        floods.append(subprocess.Popen(["/usr/bin/yes", "a line of the flood, of usual length"], stdout=write))
        os.close(write)
        logs.append(log)
    loop = asyncio.get_running_loop()
    late = []
    for _ in range(100):
        asked = loop.time()
        await asyncio.sleep(0.005)
        late.append(loop.time() - asked - 0.005)
    for flood in floods:
        flood.send_signal(signal.SIGKILL)
        flood.wait()
    for log in logs:
        totals = await log.finish(20.0)
        assert totals.read_bytes > 0
    await pump.stop()
    assert sorted(late)[50] < 0.05


@in_loop
async def test_what_is_left_when_time_is_up_is_read_as_far_as_it_came(tmp_path: Path) -> None:
    pump = LogPump(SETTINGS)
    log = pump.open(tmp_path / "log")
    write = piped(log)
    os.write(write, b"first\nnever ended")
    await until(lambda: log.totals.read_bytes == 17)
    await log.finish(0.0)
    await log.finish(0.0)
    with pytest.raises(BrokenPipeError):
        os.write(write, b"nobody listens")
    os.close(write)
    assert events(tmp_path / "log") == ["first", "never ended"]
    await pump.stop()


@in_loop
async def test_start_and_stop_are_a_contract(tmp_path: Path) -> None:
    pump = LogPump(SETTINGS)
    await pump.stop()
    log = pump.open(tmp_path / "one")
    write = piped(log)
    os.write(write, b"line\n")
    await until(lambda: log.totals.read_bytes == 5)
    await pump.stop()
    await pump.stop()
    os.close(write)
    assert events(tmp_path / "one") == ["line"]
    again = pump.open(tmp_path / "two")
    again.say("info", "again")
    await again.finish(1.0)
    await pump.stop()
    assert events(tmp_path / "two") == ["again"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "count"),
    [("print('line', i)", 200_000), ("os.write(1, b'l\\n')", 100_000), ("sys.stderr.write('x' * 300 + '\\n')", 50_000)],
)
@in_loop
async def test_every_line_of_a_flood_arrives(tmp_path: Path, act: str, count: int) -> None:
    source = f"import os, sys\nfor i in range({count}): {act}"
    await flooded(tmp_path, source, count)


@pytest.mark.slow
@pytest.mark.timeout(120)
@in_loop
async def test_a_flood_of_five_million_lines_arrives_while_the_loop_goes_on(tmp_path: Path) -> None:
    before = rss()
    source = "import sys\nfor i in range(5_000): sys.stdout.write('a line of the flood\\n' * 1000)"
    turns, seconds = await flooded(tmp_path, source, 5_000_000)
    assert turns >= seconds / 0.05 / 3
    assert rss() - before < 64 << 20


async def flooded(tmp_path: Path, source: str, count: int) -> tuple[int, float]:
    """Have a child print so much, and all of it arrive: how often the loop turned meanwhile, and how long it took."""
    pump = LogPump(msgspec.structs.replace(SETTINGS, max_bytes=2 << 30))
    log = pump.open(tmp_path / "log")
    out, err = piped(log), piped(log, Source.STDERR)
    os.set_blocking(out, True)
    os.set_blocking(err, True)
    child = subprocess.Popen([sys.executable, "-c", source], stdout=out, stderr=err)
    os.close(out)
    os.close(err)
    loop = asyncio.get_running_loop()
    began, turns = loop.time(), 0
    finishing = asyncio.create_task(log.finish(110.0))
    while not finishing.done():
        await asyncio.sleep(0.05)
        turns += 1
    seconds = loop.time() - began
    totals = await finishing
    child.wait()
    await pump.stop()
    assert child.returncode == 0
    assert (totals.dropped_lines, totals.lost_lines) == (0, 0)
    assert counted(tmp_path / "log", lambda line: line.startswith(b'{"timestamp":') and line.endswith(b"}\n")) == count
    (tmp_path / "log").unlink()
    return turns, seconds


def counted(path: Path, fits: Callable[[bytes], bool]) -> int:
    with path.open("rb") as file:
        return sum(fits(line) for line in file)


DUMP = b"""Thread 0x02 (most recent call first):
  File "/f.py", line 1 in waits

Current thread 0x01 (most recent call first):
  File "/f.py", line 2 in hangs
"""


@in_loop
async def test_a_dump_that_comes_in_pieces_is_put_down_as_one_and_delays_nothing_else(tmp_path: Path) -> None:
    pump, slate = LogPump(SETTINGS), Slate()
    log = pump.open(tmp_path / "log")
    (out_end, out), (err_end, err) = os.pipe(), os.pipe()
    log.attach(out_end, Source.STDOUT, slate)
    log.attach(err_end, Source.STDERR, slate)
    log.hold()
    for at in range(0, len(DUMP), 20):
        os.write(err, DUMP[at : at + 20])
        await until(lambda so_far=at: log.totals.read_bytes == min(so_far + 20, len(DUMP)))  # type: ignore[misc]  # bound
    os.write(out, b"meanwhile\n")
    await until(lambda: events(tmp_path / "log") == ["meanwhile"] if (tmp_path / "log").exists() else False)
    read, kept = slate.counted()
    assert (read, kept) == (len(DUMP) + 10, 0), "were the worker killed now, lines would be missing"
    os.close(err)
    await until(lambda: slate.counted() == (read, read))
    first = ["meanwhile", "Current thread 0x01 (most recent call first):", '  File "/f.py", line 2 in hangs', ""]
    assert events(tmp_path / "log")[:4] == first
    os.close(out)
    await log.finish(20.0)
    slate.close()
    await pump.stop()


@in_loop
async def test_what_is_held_back_for_a_dump_that_does_not_come_is_put_down(tmp_path: Path) -> None:
    pump = LogPump(SETTINGS)
    log = pump.open(tmp_path / "log")
    err = piped(log, Source.STDERR)
    log.hold()
    os.write(err, b"no dump\n")
    await until(lambda: (tmp_path / "log").exists() and events(tmp_path / "log") == ["no dump"])  # after a moment
    log.hold()
    for _ in range(3):
        await put(err, (b"x" * 1000 + b"\n") * 300)  # more than a dump can be: at once
    await until(lambda: log.totals.written_bytes > 1000)
    os.close(err)
    await log.finish(20.0)
    assert len(events(tmp_path / "log")) == 901
    log.hold()
    await pump.stop()
