from hypothesis import given
from hypothesis import strategies as st

from supervisor.logs_lines import Cut, Lines, LineSplitter


def split(limit: int, *chunks: bytes) -> list[bytes | Cut]:
    """All that comes out, line by line."""
    splitter = LineSplitter(limit)
    given_ = [*(splitter.feed(chunk) for chunk in chunks), splitter.end()]
    found: list[bytes | Cut] = []
    for lines in given_:
        found += [lines.cut] if lines.cut is not None else []
        found += lines.whole.split(b"\n") if lines.whole is not None else []
    assert splitter.held == 0
    assert splitter.end() == Lines(None, None)
    return found


def test_whole_lines_are_given_at_once_and_the_rest_is_held() -> None:
    splitter = LineSplitter(100)
    assert splitter.feed(b"one\ntwo\nthr") == Lines(None, b"one\ntwo")
    assert splitter.held == 3
    assert splitter.feed(b"ee\n") == Lines(None, b"three")
    assert splitter.feed(b"\n\n") == Lines(None, b"\n")
    assert splitter.end() == Lines(None, None)


def test_the_end_gives_a_line_that_has_none() -> None:
    assert split(100, b"one\ntw", b"o") == [b"one", b"two"]


def test_a_line_beyond_the_limit_is_cut_and_counted() -> None:
    assert split(4, b"abc", b"def", b"gh\nnext\n") == [Cut(b"abcd", 4), b"next"]
    assert split(4, b"abcdef\n") == [b"abcdef"]  # never held, so never cut here: the records' limit cuts it
    assert split(4, b"abcdef", b"\n") == [Cut(b"abcd", 2)]
    assert split(4, b"abcdef") == [Cut(b"abcd", 2)]


def test_a_huge_line_costs_no_more_than_its_limit() -> None:
    splitter = LineSplitter(1000)
    for _ in range(1600):
        splitter.feed(b"x" * 65536)
        assert splitter.held == 1000
    assert splitter.feed(b"\n") == Lines(Cut(b"x" * 1000, 1600 * 65536 - 1000), None)


@given(st.binary().map(lambda data: data.replace(b"\r", b"\n")), st.lists(st.integers(0, 50)))
def test_chunks_make_no_difference(data: bytes, sizes: list[int]) -> None:
    chunks, rest = [], data
    for size in sizes:
        chunks.append(rest[:size])
        rest = rest[size:]
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert split(10**6, *chunks, rest) == expected


def test_what_has_no_end_yet_can_be_asked_for() -> None:
    splitter = LineSplitter(100)
    splitter.feed(b"whole\nhal")
    assert (splitter.rest, splitter.held) == (b"hal", 3)
    assert splitter.feed(b"f\n").whole == b"half"
    assert splitter.rest == b""
