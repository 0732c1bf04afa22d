import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import FrameTooLong, LocalProtocolError, RemoteProtocolError, TruncatedFrame, ZeroLengthFrame
from protocol.frames import DEFAULT_CAP, FrameReader, encode_frame, frame
from tests.fuzzing import fuzz


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    """A stream in pieces of these sizes, and the rest."""
    pieces, start = [], 0
    for size in sizes:
        pieces.append(stream[start : start + size])
        start += size
    return [*pieces, stream[start:]]


def read(reader: FrameReader, pieces: list[bytes]) -> tuple[list[bytes], type[RemoteProtocolError] | None]:
    payloads = [bytes(payload) for piece in pieces for payload in reader.feed(piece)]
    reader.end()
    return payloads, type(reader.fault) if reader.fault else None


def test_the_prefix_is_four_bytes_big_endian_without_itself() -> None:
    assert encode_frame([5, None, None]).hex() == "000000049305c0c0"
    assert encode_frame((5, {"ok": True, "type": "OKResponse"}, None)).hex() == (
        "000000189305 82a26f6bc3a474797065aa4f4b526573706f6e7365 c0".replace(" ", "")
    )


@fuzz
@given(payloads=st.lists(st.binary(min_size=1, max_size=300), max_size=8), sizes=st.lists(st.integers(0, 200)))
def test_any_chunking_of_any_frames_gives_the_same_payloads(payloads: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(frame(payload) for payload in payloads)
    assert read(FrameReader(), cut(stream, sizes)) == (payloads, None)


@fuzz
@given(stream=st.binary(max_size=300), sizes=st.lists(st.integers(0, 20)))
def test_any_chunking_of_any_bytes_gives_the_same_payloads_and_the_same_fault(stream: bytes, sizes: list[int]) -> None:
    assert read(FrameReader(cap=200), cut(stream, sizes)) == read(FrameReader(cap=200), [stream])


def test_one_byte_at_a_time() -> None:
    stream = b"".join(encode_frame([number, None]) for number in range(50))
    payloads, fault = read(FrameReader(), [stream[index : index + 1] for index in range(len(stream))])
    assert (len(payloads), fault) == (50, None)


def test_a_length_above_the_cap_is_refused_from_its_four_bytes() -> None:
    reader = FrameReader()
    tracemalloc.start()
    assert reader.feed(b"\xff\xff\xff\xff") == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(reader.fault, FrameTooLong)
    assert str(reader.fault) == f"expected a frame of at most {DEFAULT_CAP} bytes, came a prefix that says 4294967295"
    assert peak < 10_000


def test_a_length_of_exactly_the_cap_is_taken() -> None:
    assert read(FrameReader(cap=10), [frame(b"x" * 10)]) == ([b"x" * 10], None)
    assert read(FrameReader(cap=10), [frame(b"x" * 11)]) == ([], FrameTooLong)
    assert read(FrameReader(cap=10), [frame(b"x" * 10) * 2]) == ([b"x" * 10] * 2, None)
    assert read(FrameReader(cap=10), [frame(b"x") + frame(b"x" * 11)]) == ([b"x"], FrameTooLong)


def test_a_frame_of_nothing_is_refused_and_what_came_before_it_is_given() -> None:
    reader = FrameReader()
    assert [bytes(payload) for payload in reader.feed(frame(b"first") + b"\0\0\0\0" + frame(b"second"))] == [b"first"]
    assert isinstance(reader.fault, ZeroLengthFrame)
    assert reader.feed(frame(b"third")) == []


def test_a_fault_in_the_middle_of_a_chunk_ends_the_reading_also_of_pending_bytes() -> None:
    reader = FrameReader(cap=4)
    assert reader.feed(b"\0") == []
    assert reader.feed(b"\0\0\x09") == []
    first = reader.fault
    assert reader.feed(b"more") == []
    reader.end()
    assert reader.fault is first


@pytest.mark.parametrize("length", [1, 3, 4, 7])
def test_an_end_inside_a_frame_is_a_fault(length: int) -> None:
    reader = FrameReader()
    reader.feed(frame(b"data")[:length])
    reader.end()
    assert isinstance(reader.fault, TruncatedFrame)
    assert reader.fault.came == f"the end of the stream after {length}"


def test_an_end_between_frames_is_none() -> None:
    assert read(FrameReader(), [frame(b"x")]) == ([b"x"], None)


def test_an_unfinished_frame_takes_no_more_than_its_bytes() -> None:
    size = 8 * 1024 * 1024
    reader, piece = FrameReader(), bytes(64 * 1024)
    tracemalloc.start()
    reader.feed(size.to_bytes(4, "big"))
    payloads = [payload for _ in range(size // len(piece)) for payload in reader.feed(piece)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [len(payload) for payload in payloads] == [size]
    assert peak < 1.3 * size


def test_a_value_without_a_form_is_our_own_fault() -> None:
    with pytest.raises(LocalProtocolError, match="cannot encode a frame"):
        encode_frame([1, object()])


def test_a_payload_longer_than_may_be_sent_is_our_own_fault() -> None:
    assert len(frame(bytes(10), cap=10)) == 14
    with pytest.raises(LocalProtocolError, match="a frame of 11 bytes is longer than the 10 that can be sent"):
        frame(bytes(11), cap=10)


@pytest.mark.parametrize("cap", [0, -1, 2**32])
def test_a_cap_is_a_length_a_prefix_can_say(cap: int) -> None:
    with pytest.raises(LocalProtocolError, match="is not between 1 and 4294967295"):
        FrameReader(cap)


def test_a_reader_says_whether_a_frame_has_begun() -> None:
    reader = FrameReader()
    whole = frame(b"abc")
    seen = [reader.empty]
    for part in (whole + whole[:3], whole[3:]):
        reader.feed(part)
        seen.append(reader.empty)
    assert seen == [True, False, True]
