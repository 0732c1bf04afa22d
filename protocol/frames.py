"""Frames: four bytes of length, big-endian, then that many bytes of msgpack.

The reader takes bytes as they come and gives whole payloads. It holds at most one unfinished frame, looks at each byte
a bounded number of times however the stream is cut, and refuses a length above its cap from the prefix alone.
"""

from struct import Struct

from protocol.errors import FrameTooLong, LocalProtocolError, RemoteProtocolError, TruncatedFrame, ZeroLengthFrame
from protocol.values import UNENCODABLE, encoder

PREFIX = 4
DEFAULT_CAP = 64 * 1024 * 1024
LARGEST = 2**32 - 1
LARGE = 64 * 1024
Payload = bytes | bytearray | memoryview
_LENGTH = Struct(">I")
_length_at = _LENGTH.unpack_from


def encode_frame(value: object, cap: int = LARGEST) -> bytes:
    """Give a value as a whole frame, of no more than the peer takes."""
    try:
        payload = encoder.encode(value)
    except UNENCODABLE as error:
        raise LocalProtocolError(f"cannot encode a frame: {error}") from error
    return frame(payload, cap)


def frame(payload: bytes, cap: int = LARGEST) -> bytes:
    """Put the prefix before a payload."""
    if len(payload) > cap:
        raise LocalProtocolError(f"a frame of {len(payload)} bytes is longer than the {cap} that can be sent")
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Cuts a stream into payloads.

    A fault does not hide the payloads before it: `feed` gives those, and `fault` says what came after them. Then the
    reader takes nothing more, because where the next frame begins is not known.
    """

    def __init__(self, cap: int = DEFAULT_CAP) -> None:
        if not 0 < cap <= LARGEST:
            raise LocalProtocolError(f"a cap of {cap} bytes is not between 1 and {LARGEST}")
        self.cap = cap
        self.fault: RemoteProtocolError | None = None
        self._pending = bytearray()
        self._wanted = 0
        """With bytes pending: how many there must be before another look is worth it."""

    @property
    def empty(self) -> bool:
        """Whether no frame has begun and not ended."""
        return not self._pending

    def feed(self, data: bytes) -> list[Payload]:
        """Take bytes, give the payloads they complete."""
        size = len(data)
        # What comes is nearly always exactly one frame.
        if (
            PREFIX < size <= LARGE
            and not self._pending
            and _length_at(data)[0] == size - PREFIX <= self.cap
            and self.fault is None
        ):
            return [data[PREFIX:]]
        whole: bytes | bytearray = data
        if self._pending:
            self._pending += data
            if len(self._pending) < self._wanted:
                return []
            # Handed on as it is, not copied: an unfinished frame may be as large as the cap.
            whole, self._pending = self._pending, bytearray()
        if self.fault is not None:
            return []
        return self._cut(whole)

    def end(self) -> None:
        """Take the end of the stream: inside a frame it is a fault."""
        if self._pending and self.fault is None:
            came = len(self._pending)
            what = f"a prefix of {PREFIX} bytes" if came < PREFIX else f"a frame of {self._wanted} bytes"
            self.fault = TruncatedFrame(what, f"the end of the stream after {came}")
            self._pending = bytearray()

    def _cut(self, whole: bytes | bytearray) -> list[Payload]:
        start, size = 0, len(whole)
        payloads: list[Payload] = []
        # Slices of a view cost twice a small copy and save a large one.
        source = whole if size < LARGE else memoryview(whole)
        self._wanted = PREFIX
        while size - start >= PREFIX:
            (length,) = _LENGTH.unpack_from(whole, start)
            if not 0 < length <= self.cap:
                self.fault = self._refuse(length)
                return payloads
            begin = start + PREFIX
            if size - begin < length:
                self._wanted = PREFIX + length
                break
            start = begin + length
            payloads.append(source[begin:start])
        if start < size:
            self._pending += source[start:]
        return payloads

    def _refuse(self, length: int) -> RemoteProtocolError:
        if length == 0:
            return ZeroLengthFrame("a frame of at least 1 byte", "a prefix that says 0")
        return FrameTooLong(f"a frame of at most {self.cap} bytes", f"a prefix that says {length}")
