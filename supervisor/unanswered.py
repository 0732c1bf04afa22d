"""Which questions of a conversation still wait for their answer: told from what was heard and what was said. Core.

Whoever takes a conversation over has no memory of it, only its bytes: those that came since it was last at rest, and
those that were said since then. A question is open when no answer has its id; where a child uses an id again, which it
may when it has its answer, the last of its questions is the open one. What is the beginning of a frame stays as it is:
its rest is still to come.
"""

from collections import Counter
from struct import Struct

import msgspec

_LENGTH = Struct(">I")


def unanswered(heard: bytes, said: bytes) -> bytes:
    """Give the questions without an answer, and what is behind the last whole one, as they came."""
    questions, rest = _cut(heard)
    left = Counter(number for _, number in _cut(said)[0] if number is not None)
    kept: list[bytes] = []
    for frame, number in questions:
        if number is not None and left[number] > 0:
            left[number] -= 1
        else:
            kept.append(frame)
    return b"".join([*kept, rest])


def whole(said: bytes) -> int:
    """Say how many bytes of what was put down are whole frames: who was killed over one never began to send it."""
    return len(said) - len(_cut(said)[1])


def _cut(stream: bytes) -> tuple[list[tuple[bytes, int | None]], bytes]:
    """Cut a stream into whole frames, each with its id, and the rest."""
    frames: list[tuple[bytes, int | None]] = []
    at = 0
    while len(stream) - at >= _LENGTH.size:
        end = at + _LENGTH.size + int(_LENGTH.unpack_from(stream, at)[0])
        if end > len(stream) or end == at + _LENGTH.size:
            break
        frames.append((stream[at:end], _id(stream[at + _LENGTH.size : end])))
        at = end
    return frames, stream[at:]


def _id(payload: bytes) -> int | None:
    """Give a frame's id; None where it has none that can be answered."""
    try:
        number = msgspec.msgpack.decode(payload, type=list[msgspec.Raw])[0]
        return msgspec.msgpack.decode(number, type=int)
    except (msgspec.MsgspecError, IndexError):
        return None
