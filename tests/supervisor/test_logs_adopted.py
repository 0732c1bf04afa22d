"""A log that one supervisor begins and another goes on with: by the slate, and the same pipe."""

import os
from pathlib import Path

from supervisor.logs import AttemptLog
from supervisor.logs_pump import LogPump
from supervisor.logs_records import Source
from supervisor.slate import Slate
from tests.supervisor.keeper.world import in_loop, until
from tests.supervisor.test_logs import SETTINGS, events, records


async def first(path: Path, slate: Slate, read: int, write: int, said: bytes) -> None:
    """One that reads this and writes what of it are lines; then it is as if it were killed, and only its fds stay."""
    pump = LogPump(SETTINGS)
    log = pump.open(path)
    log.attach(os.dup(read), Source.STDOUT, slate)
    os.write(write, said)
    await until(lambda: slate.counted() == (len(said), len(said)))
    await pump.pause()


def second(path: Path, slate: Slate, read: int) -> tuple[LogPump, AttemptLog]:
    pump = LogPump(SETTINGS)
    log = pump.open(path)
    log.attach(read, Source.STDOUT, Slate(os.dup(slate.fd)))
    return pump, log


@in_loop
async def test_a_line_is_begun_by_one_and_ended_by_the_other(tmp_path: Path) -> None:
    path, slate, (read, write) = tmp_path / "log", Slate(), os.pipe()
    await first(path, slate, read, write, b"whole\nha")
    pump, log = second(path, slate, read)
    os.write(write, b"lf\nlast\n")
    os.close(write)
    totals = await log.finish(20.0)
    assert events(path) == ["whole", "half", "last"]
    assert totals.read_bytes == len(b"whole\nhalf\nlast\n")
    await pump.stop()
    slate.close()


@in_loop
async def test_what_was_read_and_not_written_is_said_to_be_missing(tmp_path: Path) -> None:
    path, slate, (read, write) = tmp_path / "log", Slate(), os.pipe()
    await first(path, slate, read, write, b"whole\nha")
    slate.count_read(8 + 1)  # killed over a read
    with path.open("ab") as file:
        file.write(b'{"torn')
    pump, log = second(path, slate, read)
    os.write(write, b"lf\nlast\n")
    os.close(write)
    await log.finish(20.0)
    lines = path.read_text().splitlines()
    assert lines.pop(1) == '{"torn'
    path.write_text("\n".join(lines))
    missing = [record for record in records(path) if "bytes" in record]
    assert [record["bytes"] for record in missing] == [1]
    assert events(path)[0] == "whole"
    assert events(path)[-1] == "last"
    await pump.stop()
    slate.close()


@in_loop
async def test_a_line_of_ours_before_the_first_read_takes_back_nothing_of_what_is_kept(tmp_path: Path) -> None:
    path, slate, (read, write) = tmp_path / "log", Slate(), os.pipe()
    await first(path, slate, read, write, b"whole\nha")
    pump, log = second(path, slate, read)
    log.say("info", "adopted")
    await pump.pause()  # all is written; now it is as if it were killed
    assert slate.counted() == (8, 8)
    assert events(path) == ["whole", "adopted"]
    os.close(write)
    pump.resume()
    await pump.stop()
    slate.close()


@in_loop
async def test_what_is_said_to_be_missing_is_said_once(tmp_path: Path) -> None:
    path, slate, (read, write) = tmp_path / "log", Slate(), os.pipe()
    await first(path, slate, read, write, b"whole\n")
    slate.count_read(6 + 1)
    pumps = []
    for _ in range(2):
        pumps.append(second(path, slate, os.dup(read))[0])
        await pumps[-1].pause()  # as if it were killed then
    assert [record["bytes"] for record in records(path)[1:]] == [1]
    os.close(read)
    os.close(write)
    for pump in pumps:
        pump.resume()
        await pump.stop()
    slate.close()


@in_loop
async def test_a_pipe_that_ends_in_silence_does_not_wake_the_writer(tmp_path: Path) -> None:
    told: list[int] = []
    slate, pump = Slate(), LogPump(SETTINGS)
    log = pump.open(tmp_path / "log")
    for source in Source:
        read, write = os.pipe()
        log.attach(read, source, slate if source is Source.STDOUT else None)
        os.close(write)
    log._file.on_kept = told.append  # noqa: SLF001 - what the writer calls whenever it was woken
    await log.finish(20.0)
    assert len(told) == 1, "once, to close the file"
    await pump.stop()
    slate.close()


@in_loop
async def test_lines_and_how_far_they_go_are_written_at_once(tmp_path: Path) -> None:
    told: list[int] = []
    slate, pump = Slate(), LogPump(SETTINGS)
    log, (read, write) = pump.open(tmp_path / "log"), os.pipe()
    log.attach(read, Source.STDOUT, slate)
    log._file.on_kept = told.append  # noqa: SLF001 - as above
    os.write(write, b"whole\nha")
    await until(lambda: told != [])
    assert told == [len(b"whole\nha")]
    os.close(write)
    await log.finish(20.0)
    await pump.stop()
    slate.close()
