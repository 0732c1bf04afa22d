"""The journal on a real disk: what is durable when, what happens when the disk is full, who may have the folder."""

import asyncio
import contextlib
import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from msgspec.structs import replace

from supervisor.journal import VERSION, Opened, Owed, Settled, Story, frame
from supervisor.journal_files import LOCK, Folder, JournalError, holder, lock, numbers, read, read_disk, segment_name
from supervisor.journal_writer import Journal
from tests.architecture.layout import ROOT
from tests.supervisor.test_journal import BEGAN, OPENED, OWED, TI, sealed
from tests.system.world import play

LIMIT = 16 * 1024


@contextlib.asynccontextmanager
async def writing(folder: Path, said: list[str] | None = None, limit: int = LIMIT) -> AsyncIterator[Journal]:
    folder.mkdir(exist_ok=True)
    found = read(folder)
    opened = replace(OPENED, session=max(found.story.sessions, default=0) + 1)
    heard: list[str] = [] if said is None else said
    journal = Journal(Folder(folder), found, opened, limit, heard.append)
    journal.begin()
    try:
        yield journal
    finally:
        await journal.stop()
        await journal.stop()


def owed(folder: Path) -> dict[bytes, Owed | None]:
    return {ti: entry.owed for ti, entry in read(folder).story.entries.items()}


def ti(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_what_is_committed_is_in_the_file_when_the_commit_returns(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with writing(tmp_path) as journal:
            journal.append(BEGAN)
            assert await journal.commit(OWED)
            assert owed(tmp_path) == {TI: OWED}  # read while it is written, by nobody in particular
            journal.append(Settled(TI, "told"))
        assert owed(tmp_path) == {}

    play(scenario())


def test_what_is_appended_comes_by_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with writing(tmp_path) as journal:
            journal.append(BEGAN)
            while not owed(tmp_path):  # bounded by the scenario's own time
                await asyncio.sleep(0.001)

    play(scenario())


def test_many_commits_at_a_time_share_a_sync(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with writing(tmp_path) as journal:
            assert all(await asyncio.gather(*(journal.commit(replace(OWED, ti=ti(n))) for n in range(200))))
            assert journal.commits < 50
        assert len(owed(tmp_path)) == 200

    play(scenario())


def test_segments_are_left_when_they_have_grown_and_nothing_owed_is_left_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with writing(tmp_path) as journal:
            await journal.commit(replace(OWED, ti=ti(0)))
            for number in range(1, 500):
                await journal.commit(replace(OWED, ti=ti(number)))
                journal.append(Settled(ti(number), "told"))
            assert journal.written > 2 * LIMIT
            assert len(numbers(tmp_path)) == 1
        assert read(tmp_path).size < 2 * LIMIT
        assert list(owed(tmp_path)) == [ti(0)]

    play(scenario())


def test_a_segment_that_is_full_of_what_is_owed_is_not_written_again_and_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with writing(tmp_path, limit=1000) as journal:
            for number in range(300):
                await journal.commit(replace(OWED, ti=ti(number)))
            size = read(tmp_path).size
            assert journal.written < 3 * size
        assert len(owed(tmp_path)) == 300

    play(scenario())


def test_the_next_one_begins_a_segment_of_its_own_with_what_is_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with writing(tmp_path) as journal:
            await journal.commit(OWED)
        first = numbers(tmp_path)
        with (tmp_path / segment_name(first[0])).open("ab") as file:
            file.write(frame(OWED, first[0], 10**6)[:-3])  # a torn tail
        assert read(tmp_path).torn > 0
        async with writing(tmp_path):
            assert numbers(tmp_path) == [first[0] + 1]
            assert owed(tmp_path) == {TI: OWED}
            assert read(tmp_path).torn == 0
        assert (tmp_path / segment_name(first[0] + 1)).stat().st_mode & 0o777 == 0o600

    play(scenario())


def test_a_crash_while_segments_change_loses_nothing(tmp_path: Path) -> None:
    """Whatever is there of the new segment, the old one is still there as well."""

    async def scenario() -> None:
        async with writing(tmp_path) as journal:
            for number in range(5):
                await journal.commit(replace(OWED, ti=ti(number)))
        old = numbers(tmp_path)[0]
        data, at = b"", 0
        for record in read(tmp_path).story.records(1):
            data += frame(record, old + 1, at)
            at = len(data)
        for end in range(0, len(data), 7):
            (tmp_path / segment_name(old + 1)).write_bytes(data[:end])
            assert len(owed(tmp_path)) == 5

    play(scenario())


@contextlib.contextmanager
def full_disk(at: int) -> Iterator[None]:
    """No file grows beyond this: what a full disk does, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    was = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, was)


def test_a_full_disk_is_said_once_and_what_could_not_be_written_is_written_when_it_can(tmp_path: Path) -> None:
    said: list[str] = []
    troubles: list[None] = []

    async def scenario() -> None:
        async with writing(tmp_path, said) as journal:
            journal.on_trouble = lambda: troubles.append(None)
            assert await journal.commit(replace(OWED, ti=ti(0)))
            with full_disk(300):
                assert not await journal.commit(replace(OWED, ti=ti(1), body=bytes(400)))
                assert not await journal.commit(replace(OWED, ti=ti(2), body=bytes(400)))
                assert ti(0) in owed(tmp_path)
            assert await journal.commit(replace(OWED, ti=ti(3)))
            assert [*owed(tmp_path)] == [ti(n) for n in range(4)]

    play(scenario())
    assert len(said) == 2
    assert "cannot be written" in said[0]
    assert "again" in said[1]
    assert len(troubles) == 1


def test_a_journal_that_cannot_be_begun_says_so_and_is_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal(Folder(tmp_path), read(tmp_path), OPENED, LIMIT)
        with full_disk(10), pytest.raises(JournalError, match="cannot be written"):
            journal.begin()
        assert numbers(tmp_path) == []
        assert await journal.commit(OWED)
        assert owed(tmp_path) == {TI: OWED}
        await journal.stop()

    play(scenario())


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(sealed(b"?", VERSION + 1))
    with pytest.raises(JournalError, match="run the newer one"):
        read(tmp_path)


def test_a_damaged_record_is_said_and_costs_no_other(tmp_path: Path) -> None:
    frames = [b""]
    for number in range(3):
        frames.append(frame(replace(OWED, ti=ti(number)), 1, sum(map(len, frames))))
    data = bytearray(b"".join(frames))
    data[len(frames[1]) + 20] ^= 1
    (tmp_path / segment_name(1)).write_bytes(data)
    (tmp_path / "not-a-number.journal").write_bytes(b"")
    found = read(tmp_path)
    assert list(found.story.entries) == [ti(0), ti(2)]
    assert len(found.damage) == 1
    assert "damaged bytes" in found.damage[0]


def test_a_segment_that_goes_while_it_is_read_was_carried_on(tmp_path: Path) -> None:
    class Carried(Folder):
        def numbers(self) -> list[int]:
            return [1]

    assert read_disk(Carried(tmp_path)).segments == []


def test_one_that_was_stopped_goes_on_and_says_nothing_of_it(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        said: list[str] = []
        async with writing(tmp_path, said) as journal:
            assert await journal.commit(BEGAN)
            await journal.stop()
            assert await journal.commit(OWED)
        assert owed(tmp_path) == {TI: OWED}
        return said

    assert play(scenario()) == []


HOLD = """
import sys
from pathlib import Path
from supervisor.journal_files import lock
lock(Path(sys.argv[1]), "the first")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_two_cannot_have_it_and_a_killed_one_has_it_no_more(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    assert holder(folder) is None
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(
            JournalError, match=rf"{tmp_path} is the state directory of worker the first \(pid {first.pid}\)"
        ):
            lock(folder, "the second")
        who = holder(folder)
        assert who is not None
        assert (who.name, who.pid) == ("the first", first.pid)
        first.kill()
    assert holder(folder) is None
    fd = lock(folder, "the second")
    assert folder.stat().st_mode & 0o777 == 0o700
    os.close(fd)


def test_who_only_looks_keeps_nobody_from_it(tmp_path: Path) -> None:
    """A worker that begins while somebody lists what is undelivered was turned away, and its unit stayed down."""
    os.close(lock(tmp_path, "the last"))
    with (tmp_path / LOCK).open() as looking, ThreadPoolExecutor() as pool:
        fcntl.flock(looking, fcntl.LOCK_SH)  # as `holder` does
        taking = pool.submit(lock, tmp_path, "the next")
        assert not wait([taking], 0.1).done
        fcntl.flock(looking, fcntl.LOCK_UN)
        os.close(taking.result())


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="file/journal"):
        lock(tmp_path / "file" / "journal", "w")


def test_nothing_is_an_empty_story(tmp_path: Path) -> None:
    found = read(tmp_path / "nothing")
    assert (found.segments, found.size, found.damage) == ([], 0, [])
    assert isinstance(found.story, Story)
    assert Opened(1, "w", 10, 20, "boot", "http://h", 1.0) == OPENED
