"""Bytes from a pipe, cut into lines. Core.

A line may come in a million reads or be 100 MB long, so what is held is bounded (`limit`) and each byte is looked at
once: only what is new is searched for a line's end, and what is beyond the limit is counted and let go.
"""

from msgspec import Struct


class Cut(Struct, frozen=True):
    """A line longer than the limit: its beginning, and how many bytes of it are gone."""

    start: bytes
    gone: int


class Lines(Struct, frozen=True):
    """What one read completed: perhaps the end of a line that was cut, then whole lines, a newline between two."""

    cut: Cut | None = None
    whole: bytes | None = None


class LineSplitter:
    """One pipe's lines. `limit` may be raised while it is used."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = bytearray()
        self._gone = 0

    @property
    def held(self) -> int:
        """How many bytes wait for their line's end."""
        return len(self._held)

    @property
    def rest(self) -> bytes:
        """Give them."""
        return bytes(self._held)

    def feed(self, data: bytes) -> Lines:
        """Take what was read."""
        last = data.rfind(b"\n")
        if last < 0:
            self._hold(data)
            return Lines(None, None)
        if not self._gone:
            cut = None
            whole: bytes | None = bytes(self._held) + data[:last] if self._held else data[:last]
        else:
            first = data.find(b"\n")
            cut = Cut(bytes(self._held), self._gone + first)
            whole = data[first + 1 : last] if first < last else None
        self._held = bytearray()
        self._gone = 0
        self._hold(data[last + 1 :])
        return Lines(cut, whole)

    def end(self) -> Lines:
        """Take the end of the stream: what is held is the last line, though it has no end."""
        held, gone = bytes(self._held), self._gone
        self._held = bytearray()
        self._gone = 0
        if gone:
            return Lines(Cut(held, gone), None)
        return Lines(None, held or None)

    def _hold(self, data: bytes) -> None:
        room = self.limit - len(self._held)
        self._held += data[:room]
        self._gone += max(0, len(data) - room)
