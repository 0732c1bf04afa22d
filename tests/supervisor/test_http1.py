import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.http1 import BODY_CAP, HEAD_CAP, Answer, AnswerReader, BadAnswer, request

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nt: 1\r\n\r\n"


def read(data: bytes, *, bodiless: bool = False, cap: int = BODY_CAP) -> Answer | None:
    return AnswerReader(bodiless=bodiless, body_cap=cap).feed(data)


def test_a_request_with_and_without_a_body() -> None:
    assert request("GET", "/x", b"a: 1\r\n", None) == b"GET /x HTTP/1.1\r\na: 1\r\n\r\n"
    expected = b"PUT /x HTTP/1.1\r\na: 1\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    assert request("PUT", "/x", b"a: 1\r\n", b"{}") == expected


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (OK, 200, b"{}"),
        (CHUNKED, 200, b"abc0123456789"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"{}"),
        (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", 200, b""),
    ],
)
def test_answers_in_any_chunking(data: bytes, status: int, body: bytes) -> None:
    whole = read(data)
    assert whole is not None
    assert (whole.status, whole.body, whole.keep) == (status, body, True)
    reader = AnswerReader()
    assert not reader.begun
    *rest, last = [reader.feed(data[at : at + 1]) for at in range(len(data))]
    assert rest == [None] * len(rest)
    assert last == whole
    assert reader.begun


@given(st.lists(st.integers(1, 7)))
def test_any_chunking_gives_the_same(sizes: list[int]) -> None:
    reader, at, found = AnswerReader(), 0, None
    for size in [*sizes, len(CHUNKED)]:
        if at < len(CHUNKED):
            found = reader.feed(CHUNKED[at : at + size]) or found
            at += size
    assert found is not None
    assert found.body == b"abc0123456789"


def test_headers_are_found_in_any_case() -> None:
    answer = read(OK)
    assert answer is not None
    assert answer.header(b"content-type") == "application/json"
    assert answer.header(b"x") is None


def test_a_head_has_no_body_whatever_its_length_says() -> None:
    answer = read(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\nContent-Range: map_indexes 3\r\n\r\n", bodiless=True)
    assert answer is not None
    assert answer.header(b"content-range") == "map_indexes 3"


def test_a_body_without_a_length_ends_with_the_stream() -> None:
    reader = AnswerReader()
    assert reader.end() is None
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\nabc") is None
    assert reader.end() == Answer(200, {}, b"abc", keep=False)


@pytest.mark.parametrize("data", [OK[:-1], CHUNKED[:-3], b"HTTP/1.1 200 OK\r\n"])
def test_a_stream_that_ends_too_early_has_no_answer(data: bytes) -> None:
    reader = AnswerReader()
    assert reader.feed(data) is None
    assert reader.end() is None


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_who_keeps_the_connection(head: bytes, keep: bool) -> None:  # noqa: FBT001 - a column of the table above
    answer = read(head + b"content-length: 0\r\n\r\n")
    assert answer is not None
    assert answer.keep is keep


def test_bytes_after_an_answer_end_the_connection() -> None:
    for data in (OK, CHUNKED):
        answer = read(data + b"more")
        assert answer is not None
        assert not answer.keep


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 20,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+1\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1_0\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1" * (HEAD_CAP + 1),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"a" * (HEAD_CAP + 1),
        b"x" * (HEAD_CAP + 1),
        b"HTTP/1.1 200 OK\r\na: " + b"x" * HEAD_CAP + b"\r\n\r\n",
    ],
    ids=lambda data: str(data[:60]),
)
def test_what_is_no_answer_is_one_error(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        read(data, cap=16)


@given(st.binary(max_size=300))
def test_garbage_is_an_error_or_not_yet_an_answer(data: bytes) -> None:
    with contextlib.suppress(BadAnswer):
        read(b"HTTP/1.1 200 OK\r\n" + data)
