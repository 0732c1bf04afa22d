"""The journal's folder: who holds it, and what is in it. Reading takes no lock and changes nothing.

The lock is the kernel's (`flock`): it ends with the process that holds it, however that ends, so there is never a stale
one to remove. The file says who holds it, for the one who is turned away. Everything here is ours alone (0700, 0600),
because the tokens of running attempts are in it: whoever can read the journal can speak for them until they expire.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct, structs

from supervisor.journal import Began, NewerVersion, Opened, Scan, Story, scan
from supervisor.places import trouble

SUFFIX = ".journal"
LOCK = "lock"
LEFT = "left"
"""Beside the segments: what each `worker exec` could not tell (`owing`)."""


class JournalError(Exception):
    """There can be no journal here, and why."""


class Holder(Struct, frozen=True):
    """Who holds a journal."""

    name: str
    pid: int


class Found(Struct):
    """What is in a folder."""

    story: Story
    segments: list[int]
    size: int = 0
    torn: int = 0
    """Bytes of tails that were cut: how a journal ends whose worker was killed."""
    damage: list[str] = msgspec.field(default_factory=list)
    left: list[Path] = msgspec.field(default_factory=list)
    """Files of those who hold no journal: to be removed when what they say is in this one."""


def folder_of(state_dir: Path) -> Path:
    """Say where the journal of a state directory is."""
    return state_dir / "journal"


def lock(folder: Path, name: str) -> int:
    """Take the folder for us: a fd to keep open. Raises JournalError that names who has it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(trouble(error, folder)) from error
    note = msgspec.json.encode(Holder(name, os.getpid()))
    try:
        if not _take(fd):
            held = _note(folder)
            who = "another worker" if held is None else f"worker {held.name} (pid {held.pid})"
            os.close(fd)
            raise JournalError(
                f"{folder.parent} is the state directory of {who}, which runs: give this one its own (--state-dir)"
            )
        if os.pread(fd, len(note) + 1, 0) != note:  # it is ours: the disk may be full by now, and we its successor
            os.ftruncate(fd, os.pwrite(fd, note, 0))
    except OSError as error:
        os.close(fd)
        raise JournalError(trouble(error, folder)) from error
    return fd


def holder(folder: Path) -> Holder | None:
    """Say who holds the folder now."""
    with contextlib.suppress(OSError):
        fd = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _note(folder) if _taken(fd) else None
        finally:
            os.close(fd)
    return None


def _take(fd: int) -> bool:
    """Take the lock, unless a worker has it. Who only looks (`holder`) shares it for a moment, and is waited for."""
    while not _taken(fd):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def _note(folder: Path) -> Holder | None:
    try:
        return msgspec.json.decode((folder / LOCK).read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


class Disk(Protocol):
    """Where segments are, as their writer and their reader see it: everything that a disk is asked, and nothing else.

    A segment that is being written has a number of the disk's own, as an open file has. What cannot be done is OSError.
    """

    def numbers(self) -> list[int]:
        """Give the numbers of the segments, oldest first."""

    def content(self, number: int) -> bytes:
        """Give what a segment holds."""

    def create(self, number: int) -> int:
        """Begin one."""

    def write(self, segment: int, data: memoryview) -> int:
        """Add to one: how many bytes it took."""

    def sync(self, segment: int) -> None:
        """Come back when it is on the disk."""

    def close(self, segment: int) -> None:
        """Write no more to it."""

    def remove(self, number: int) -> None:
        """Remove one; it need not be there."""

    def settle(self) -> None:
        """Come back when it is on the disk which segments there are."""


class Folder:
    """A folder of the machine's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def numbers(self) -> list[int]:
        """As `Disk` says."""
        return numbers(self._folder)

    def content(self, number: int) -> bytes:
        """As `Disk` says."""
        return (self._folder / segment_name(number)).read_bytes()

    def create(self, number: int) -> int:
        """As `Disk` says."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._folder / segment_name(number), flags, 0o600)

    def write(self, segment: int, data: memoryview) -> int:
        """As `Disk` says."""
        return os.write(segment, data)

    def sync(self, segment: int) -> None:
        """As `Disk` says."""
        os.fdatasync(segment)

    def close(self, segment: int) -> None:
        """As `Disk` says."""
        os.close(segment)

    def remove(self, number: int) -> None:
        """As `Disk` says."""
        (self._folder / segment_name(number)).unlink(missing_ok=True)

    def settle(self) -> None:
        """As `Disk` says."""
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def left_in(folder: Path) -> Path:
    """Say where those leave what they owe who hold no journal."""
    return folder / LEFT


def read(folder: Path) -> Found:
    """Read all segments of a folder in their order, and what others left beside them.

    Raises JournalError: a newer version, or what cannot be read.
    """
    found = read_disk(Folder(folder))
    for file in sorted(left_in(folder).glob(f"*{SUFFIX}")):
        _take_in(found, file)
    return found


def _take_in(found: Found, file: Path) -> None:
    """Read a file of one session, which is given a number that no other has here."""
    data, session = _readable(file), max(found.story.sessions, default=0) + 1
    if data is None:
        return  # a worker that began just now has taken it in
    content = _scanned(data, 0, str(file))
    for record in content.records:
        renamed = isinstance(record, Opened | Began)
        found.story.take(structs.replace(record, session=session) if renamed else record)
    found.left.append(file)
    found.damage += [f"{file}: {gap.length} damaged bytes at {gap.offset}" for gap in content.gaps]


def _readable(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"{file}: {error.strerror}") from error


def _scanned(data: bytes, number: int, name: str) -> Scan:
    try:
        return scan(data, number)
    except NewerVersion as newer:
        raise JournalError(f"{name}: {newer}") from newer


def read_disk(disk: Disk) -> Found:
    """Read all segments of a disk in their order. Raises JournalError."""
    found = Found(Story(), [])
    for number in disk.numbers():
        name = f"{disk}/{segment_name(number)}"
        try:
            data = disk.content(number)
        except FileNotFoundError:
            continue  # a running worker has carried it into the next one
        except OSError as error:
            raise JournalError(f"{name}: {error.strerror}") from error
        content = _scanned(data, number, name)
        for record in content.records:
            found.story.take(record)
        found.segments.append(number)
        found.size += len(data)
        found.torn += content.torn
        found.damage += [f"{name}: {gap.length} damaged bytes at {gap.offset}" for gap in content.gaps]
    return found


def numbers(folder: Path) -> list[int]:
    """Give the numbers of a folder's segments, oldest first."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(ValueError):
            found.append(int(path.stem, 16))
    return sorted(found)


def segment_name(number: int) -> str:
    """Name a segment's file."""
    return f"{number:016x}{SUFFIX}"
