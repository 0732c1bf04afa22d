"""How much a payload would become, told before it is decoded.

The cap bounds a frame's bytes, not what they become: each byte of an array of empty maps becomes 72, so that 60 MB of
frame would take 4 GB; and a map whose keys are arrays or numbers can be made so that all its keys collide, which takes
a time quadratic in their number (0.5 MB: 14 s, measured). Text as a key is hashed with a secret and cannot. So a
payload that is large enough to do harm is walked once: its values are counted, and its keys must be text. The usual
payload is smaller than that and is not walked.
"""

from protocol.errors import BadField, NotMsgpack, TooManyValues

LIGHT = 16 * 1024
"""Bytes that need no weighing: the worst of them take 20 ms and 1 MB."""
DEFAULT_MOST = 1_000_000
"""Values in one frame, unless set otherwise. They take about 100 MB at the worst, and 0.3 s to count."""

_TEXT = frozenset([*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB])


def _sizes() -> list[tuple[int, int, int]]:
    """Give for each first byte: bytes that follow, bytes of a length, and values inside for each one of that length."""
    sizes = [(0, 0, 0)] * 256
    for first in range(0x80, 0x90):
        sizes[first] = (0, 0, 2)
    for first in range(0x90, 0xA0):
        sizes[first] = (0, 0, 1)
    for first in range(0xA0, 0xC0):
        sizes[first] = (first - 0xA0, 0, 0)
    for first, width in zip((0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB), (1, 2, 4) * 2, strict=True):
        sizes[first] = (0, width, 0)
    for first, width in zip((0xC7, 0xC8, 0xC9), (1, 2, 4), strict=True):
        sizes[first] = (1, width, 0)
    for first, follow in zip((0xCA, 0xCB), (4, 8), strict=True):
        sizes[first] = (follow, 0, 0)
    for first, follow in zip((*range(0xCC, 0xD4),), (1, 2, 4, 8) * 2, strict=True):
        sizes[first] = (follow, 0, 0)
    for first, follow in zip((*range(0xD4, 0xD9),), (2, 3, 5, 9, 17), strict=True):
        sizes[first] = (follow, 0, 0)
    for first, width, inside in ((0xDC, 2, 1), (0xDD, 4, 1), (0xDE, 2, 2), (0xDF, 4, 2)):
        sizes[first] = (0, width, inside)
    return sizes


_SIZES = _sizes()


def weigh(payload: bytes | bytearray | memoryview, most: int = DEFAULT_MOST) -> None:
    """Refuse a payload of too many values, or with a key that is not text. What is not msgpack raises as that."""
    position, end, count = 0, len(payload), 0
    # What is left to read in the arrays and maps around this place; a map counts its keys and values down by one.
    around = [[1, 0]]
    while around:
        inner = around[-1]
        left, is_map = inner
        if not left:
            around.pop()
            continue
        inner[0] = left - 1
        count += 1
        if count > most:
            raise TooManyValues(f"at most {most} values in a frame", "more")
        if position >= end:
            raise NotMsgpack("one msgpack value", "the end inside it")
        first = payload[position]
        if is_map and not left % 2 and first not in _TEXT:
            raise BadField("text as a map's key", f"a key that begins with byte 0x{first:02x}")
        follow, width, inside = _SIZES[first]
        position += 1
        length = first & 0x0F
        if width:
            length = int.from_bytes(payload[position : position + width], "big")
            position += width
        if inside:
            around.append([length * inside, inside == 2])  # noqa: PLR2004 - a key and a value
        else:
            position += follow + (length if width else 0)
