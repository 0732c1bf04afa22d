"""Checkpoints as a task sees them: the record it resumes from, and files too large for a record.

A file is made whole before it is spoken of: written beside its place, hashed on the way, forced to disk, renamed, and
its folder forced to disk. Its name is its hash, so a reference can be checked.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from protocol.messages.checkpoints import BlobReference, CheckpointRecord

_AT_ONCE = 1024 * 1024


class BlobCorrupt(Exception):
    """A checkpoint's file is not what was saved."""


class Checkpoint(Mapping[str, Any]):
    """What to resume from. A mapping of the saved data when that was one; empty, and false, when there is none."""

    def __init__(self, record: CheckpointRecord | None = None, note: str | None = None) -> None:
        self.record = record
        self.note = note
        """Why there is no record although there was one to choose."""

    @property
    def data(self) -> Any:  # noqa: ANN401 - JSON
        """The saved data, whatever it is."""
        return self.record.data if self.record else None

    @property
    def progress(self) -> float | None:
        """How far the task had come."""
        return self.record.progress if self.record else None

    @property
    def seq(self) -> int:
        """How many saves there were over the life of the task instance."""
        return self.record.seq if self.record else 0

    @property
    def blob(self) -> Path | None:
        """The saved file, checked. It must not be changed: copy it to work on it."""
        reference = self.record.blob if self.record else None
        return checked(reference) if reference else None

    def __bool__(self) -> bool:
        return self.record is not None

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - JSON
        return self._mapping[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping)

    def __len__(self) -> int:
        return len(self._mapping)

    def __repr__(self) -> str:
        return f"Checkpoint(seq={self.seq}, progress={self.progress}, data={self.data!r})" if self else "Checkpoint()"

    @property
    def _mapping(self) -> Mapping[str, Any]:
        return self.data if isinstance(self.data, dict) else {}


def keep(source: Path, folder: Path) -> BlobReference:
    """Copy a file to where checkpoints are kept, and give the reference to it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    half = folder / f".{os.getpid()}-{os.urandom(8).hex()}"
    try:
        with source.open("rb") as original, half.open("xb") as copy:
            digest, size = hashlib.sha256(), 0
            while piece := original.read(_AT_ONCE):
                digest.update(piece)
                copy.write(piece)
                size += len(piece)
            copy.flush()
            os.fsync(copy.fileno())
        place = folder / digest.hexdigest()
        half.replace(place)
    finally:
        half.unlink(missing_ok=True)
    _sync(folder)
    return BlobReference(place.resolve().as_uri(), digest.hexdigest(), size)


def checked(reference: BlobReference) -> Path:
    """Give the file of a reference, or say what is wrong with it."""
    address = urlsplit(reference.uri)
    if address.scheme != "file":
        raise BlobCorrupt(f"{reference.uri} is not a file that can be read here")
    path = Path(unquote(address.path))
    try:
        with path.open("rb") as kept:
            found = hashlib.file_digest(kept, "sha256").hexdigest()
    except OSError as error:
        raise BlobCorrupt(f"the checkpoint's file cannot be read: {error}") from error
    if found != reference.sha256:
        raise BlobCorrupt(f"{path} is not what was saved: its SHA-256 is {found}, not {reference.sha256}")
    return path


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
