"""Logs that arrive in chunks, some of them twice."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.logbook import Logbook, LogFull, LogGap, LogName

NAME = LogName("d", "r", "t", -1, "attempt")


def test_a_chunk_is_written_once(tmp_path: Path) -> None:
    book = Logbook(tmp_path, 100)
    for offset, chunk in [(0, b"abc"), (0, b"abc"), (1, b"bcd"), (4, b""), (4, b"e")]:
        book.append(NAME, offset, chunk)
    assert book.read(NAME, 0, 100) == b"abcde"
    assert (book.size(NAME), book.read(NAME, 3, 1), book.read(NAME, 9, 9)) == (5, b"d", b"")


def test_a_gap_is_refused(tmp_path: Path) -> None:
    book = Logbook(tmp_path, 100)
    with pytest.raises(LogGap) as raised:
        book.append(NAME, 1, b"b")
    assert raised.value.expected == 0
    assert book.size(NAME) == 0
    assert book.read(NAME, 0, 9) == b""


def test_a_log_has_an_end(tmp_path: Path) -> None:
    book = Logbook(tmp_path, 3)
    book.append(NAME, 0, b"abc")
    book.append(NAME, 0, b"abc")
    with pytest.raises(LogFull):
        book.append(NAME, 3, b"d")


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1), st.integers(-1, 3))
def test_no_name_leads_out_of_the_folder(dag_id: str, run_id: str, task_id: str, index: int) -> None:
    path = LogName(dag_id, run_id, task_id, index, "a").path()
    assert len(path.parts) == 4
    assert not {"..", "."} & set(path.parts)
    assert all(len(part) < 256 and "\0" not in part for part in path.parts)


def test_different_names_are_different_files() -> None:
    names = ["a", "A", "a/b", "a%2Fb", ".", "..", "x" * 300, "x" * 301, "%2E"]
    assert len({LogName(name, "r", "t", -1, "a").path() for name in names}) == len(names)


def test_a_reader_is_woken_by_growth(tmp_path: Path) -> None:
    book = Logbook(tmp_path, 100)

    async def follow() -> bytes:
        waits = asyncio.create_task(book.growth(NAME, 0, 30))
        await asyncio.sleep(0)
        book.append(NAME, 0, b"abc")
        await waits
        await book.growth(NAME, 0, 30)
        await book.growth(NAME, 3, 0.001)
        return book.read(NAME, 0, 9)

    assert asyncio.run(follow()) == b"abc"


def test_logs_go_with_their_runs(tmp_path: Path) -> None:
    book = Logbook(tmp_path, 100)
    other = LogName("d", "r2", "t", 0, "attempt")
    for name in (NAME, other):
        book.append(book.remember(name), 0, b"x")
    book.prune([("d", "r"), ("d", "never")])
    assert (book.size(NAME), book.size(other)) == (0, 1)
    assert book.remembered("attempt") == other


def test_memory_of_names_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.logbook.REMEMBERED", 1)
    book = Logbook(tmp_path, 100)
    for attempt in "ab":
        book.remember(LogName("d", "r", "t", -1, attempt))
    assert (book.remembered("a"), book.remembered("b") is not None) == (None, True)
