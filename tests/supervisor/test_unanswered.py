"""Which questions are open, told from bytes."""

import struct

import msgspec
import pytest

from supervisor.unanswered import unanswered, whole


def frame(number: object, *more: object) -> bytes:
    payload = msgspec.msgpack.encode([number, *more])
    return struct.pack(">I", len(payload)) + payload


def test_what_has_no_answer_is_left_as_it_came() -> None:
    asked = [frame(n, {"type": "GetVariable", "key": "k" * n}, None) for n in range(1, 5)]
    assert unanswered(b"".join(asked), frame(3, None, None) + frame(1, None, None)) == asked[1] + asked[3]


def test_of_an_id_that_is_used_again_the_last_question_is_open() -> None:
    first, second = frame(7, "first"), frame(7, "second")
    assert unanswered(first + second, frame(7, None)) == second
    assert unanswered(first + second, frame(7, None) * 2) == b""


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 9])
def test_the_beginning_of_a_frame_stays(cut: int) -> None:
    rest = frame(2, "a question that has not come whole")[:cut]
    assert unanswered(frame(1, None) + rest, frame(1, None)) == rest


@pytest.mark.parametrize("payload", [b"\xc1", msgspec.msgpack.encode([]), msgspec.msgpack.encode(["a"]), b"\x01"])
def test_a_frame_without_an_id_is_answered_by_nothing(payload: bytes) -> None:
    bad = struct.pack(">I", len(payload)) + payload
    assert unanswered(bad + frame(1, None), frame(1, None) + bad) == bad


def test_a_frame_without_a_length_ends_what_can_be_told_apart() -> None:
    assert unanswered(frame(1, None) + b"\0\0\0\0rest", frame(1, None)) == b"\0\0\0\0rest"


def test_what_is_put_down_counts_up_to_its_last_whole_frame() -> None:
    said = frame(1, None) + frame(2, "an answer")
    assert [whole(said[:size]) for size in (0, 3, len(said) - 1, len(said))] == [0, 0, len(frame(1, None)), len(said)]
