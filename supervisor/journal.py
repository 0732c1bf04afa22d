"""The journal: its form, and what it says when it is read again. Core: bytes to records to a story, and back.

**Theory.** A worker may be killed between any two instructions. What it owes the server must not die with it, so each
outcome is written down, and is on the disk, before the server is told. Who comes next reads the journal: an attempt
with an outcome has it delivered, byte for byte; one without has been lost, and that is then its outcome.

A journal is a few *segments*, numbered files that only grow. A segment is a sequence of frames:

    magic (3) · version (1) · length (4) · checksum (4) · payload (msgpack, one record)

The checksum covers the place too (segment and offset), so that what an old file left in a block is not taken for what
was written now. Three things can be wrong with bytes, and reading tells them apart. A *torn* tail is how every file
ends whose writer was killed; it is cut, and was never promised to anyone. A *gap* is a frame that was whole once and is
not any more; the next whole frame is looked for, so that a flipped bit costs one record. A frame that is whole and of a
*newer version* is refused altogether: to guess what it means would be to tell the server something that nobody said.

What is kept is small: each segment begins with all that is not over yet, so the ones before it are not needed.
"""

import struct
import zlib
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from supervisor.outcome import Cause, Exit, Facts, Server, Standing, Verdict, decide

VERSION = 1
MAGIC = b"\xa7TJ"
CAP = 128 * 1024 * 1024
"""Of a payload. A terminal message with its data fits a frame of the child's, which is smaller."""
_HEAD = struct.Struct(">3sBII")
_PLACE = struct.Struct(">QQBI")


class NewerVersion(Exception):
    """A newer Taskhand wrote this."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the journal is of version {version}, and this Taskhand reads {VERSION}: run the newer one")
        self.version = version


class _Record(Struct, frozen=True, array_like=True, gc=False, tag_field="k"):
    """One thing that happened."""


class Opened(_Record, frozen=True, tag="o"):
    """A worker opened the journal. Pid, start and boot name its process for good, and what came from it."""

    session: int
    worker: str
    pid: int
    started: int
    boot: str
    url: str
    """Of the server that its tokens are for."""
    at: float


class Began(_Record, frozen=True, tag="b"):
    """The server let an attempt run."""

    ti: bytes
    session: int
    name: str
    try_number: int
    token: str
    retries_left: bool
    extended: bool
    """Whether the server is ours, and understands more than Airflow's."""
    log: str
    checkpoints: str | None
    """The folder where a child without frames leaves its own, before they are records."""
    pid: int
    """Of the child, where there was one by then; else 0."""
    started: int
    at: float


class Spawned(_Record, frozen=True, tag="s"):
    """The child came after the server's leave."""

    ti: bytes
    pid: int
    started: int


class Saved(_Record, frozen=True, tag="c"):
    """There is a checkpoint to resume from."""

    ti: bytes


class Renewed(_Record, frozen=True, tag="r"):
    """The server replaced the token."""

    ti: bytes
    token: str


class Owed(_Record, frozen=True, tag="w"):
    """An outcome that the server is to be told: the very bytes. `row` is empty when they are the task's own word."""

    ti: bytes
    state: str
    body: bytes
    row: str
    token: str | None
    """Where it is not the one that was written last."""
    at: float


class Withdrawn(_Record, frozen=True, tag="u"):
    """The server cannot take it. The task may say something else."""

    ti: bytes


class Settled(_Record, frozen=True, tag="d"):
    """Nothing is owed any more, and how that came."""

    ti: bytes
    how: str


Note = Opened | Began | Spawned | Saved | Renewed | Owed | Withdrawn | Settled
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Note).decode


def frame(record: Note, segment: int, offset: int) -> bytes:
    """Give a record as it stands at this place."""
    payload = _encode(record)
    place = zlib.crc32(_PLACE.pack(segment, offset, VERSION, len(payload)))
    return _HEAD.pack(MAGIC, VERSION, len(payload), zlib.crc32(payload, place)) + payload


class Gap(Struct, frozen=True):
    """Bytes that are no frame, with whole ones after them."""

    offset: int
    length: int


class Scan(Struct, frozen=True):
    """What a segment holds."""

    records: list[Note]
    gaps: list[Gap]
    torn: int
    """How many bytes of its end are cut."""


def scan(data: bytes, segment: int) -> Scan:
    """Read a segment, whatever has become of it. Raises `NewerVersion`, and nothing else."""
    records: list[Note] = []
    gaps: list[Gap] = []
    at = 0
    while at < len(data):
        payload = _whole(data, at, segment)
        record = None if payload is None else _record(payload)
        if payload is not None and record is not None:
            records.append(record)
            at += _HEAD.size + len(payload)
            continue
        after = _next(data, at + 1, segment)
        if after == len(data):
            return Scan(records, gaps, after - at)
        gaps.append(Gap(at, after - at))
        at = after
    return Scan(records, gaps, 0)


def _whole(data: bytes, at: int, segment: int) -> bytes | None:
    """Give the payload of the frame that begins here, if a whole one does."""
    if len(data) - at < _HEAD.size:
        return None
    magic, version, length, checksum = _HEAD.unpack_from(data, at)
    begin = at + _HEAD.size
    if magic != MAGIC or length > min(CAP, len(data) - begin):
        return None
    payload = data[begin : begin + length]
    if zlib.crc32(payload, zlib.crc32(_PLACE.pack(segment, at, version, length))) != checksum:
        return None
    if version > VERSION:
        raise NewerVersion(version)
    return payload


def _record(payload: bytes) -> Note | None:
    try:
        note: Note = _decode(payload)
    except msgspec.MsgspecError:
        return None
    return note


def _next(data: bytes, at: int, segment: int) -> int:
    """Say where the next whole frame begins, or where the data ends."""
    while (at := data.find(MAGIC, at)) >= 0:
        if _whole(data, at, segment) is not None:
            return at
        at += 1
    return len(data)


class Entry(Struct):
    """What is known of one attempt that is not over."""

    ti: bytes
    began: Began | None = None
    spawned: Spawned | None = None
    saved: Saved | None = None
    renewed: Renewed | None = None
    owed: Owed | None = None

    @property
    def token(self) -> str | None:
        """The newest one; None when the record that had it is damaged."""
        if self.owed is not None and self.owed.token is not None:
            return self.owed.token
        if self.renewed is not None:
            return self.renewed.token
        return None if self.began is None else self.began.token

    @property
    def process(self) -> tuple[int, int] | None:
        """The child's pid, and when it started."""
        known = self.spawned or self.began
        return None if known is None or known.pid == 0 else (known.pid, known.started)

    def records(self) -> Iterator[Note]:
        """Give it as records again."""
        yield from (
            each for each in (self.began, self.spawned, self.saved, self.renewed, self.owed) if each is not None
        )


class Story:
    """The journal as it stands: who opened it, and every attempt that is not over."""

    def __init__(self) -> None:
        self.sessions: dict[int, Opened] = {}
        self.entries: dict[bytes, Entry] = {}

    def take(self, record: Note) -> None:
        """Go on. To take the same records again, in their order, changes nothing."""
        match record:
            case Opened():
                self.sessions[record.session] = record
            case Settled():
                self.entries.pop(record.ti, None)
            case Withdrawn():
                entry = self.entries.get(record.ti)
                if entry is not None:
                    entry.owed = None
                    self._forget_if_empty(entry)
            case _:
                self._keep(self.entries.setdefault(record.ti, Entry(record.ti)), record)

    def records(self, session: int) -> Iterator[Note]:
        """Give all that has to be kept: this session, those that attempts are of, and the attempts."""
        wanted = {session, *(entry.began.session for entry in self.entries.values() if entry.began is not None)}
        yield from (opened for number, opened in self.sessions.items() if number in wanted)
        for entry in self.entries.values():
            yield from entry.records()

    def _forget_if_empty(self, entry: Entry) -> None:
        if next(entry.records(), None) is None:  # all else of it is damaged
            del self.entries[entry.ti]

    @staticmethod
    def _keep(entry: Entry, record: Began | Spawned | Saved | Renewed | Owed) -> None:
        match record:
            case Began():
                entry.began = record
            case Spawned():
                entry.spawned = record
            case Saved():
                entry.saved = record
            case Renewed():
                entry.renewed = record
            case _:
                entry.owed = record


def judge(entry: Entry, *, checkpoint: bool) -> Verdict:
    """Say what an attempt came to whose worker was killed, by the truth table.

    Nobody saw its end. What it said stands. If it said nothing and left a checkpoint, then losing its worker was an
    interruption and it can go on from there; if it left none, it is lost.
    """
    said = entry.owed is not None
    facts = Facts(
        standing=Standing.PENDING if said else Standing.SILENT,
        exit=Exit.LOST,
        cause=Cause.INTERRUPTED if checkpoint else Cause.NONE,
        server=Server.WILLING,
        retries_left=entry.began is not None and entry.began.retries_left,
        zero_is_success=False,
        checkpoint=checkpoint,
    )
    return decide(facts)
