"""The checkpoint directory of a program that speaks no frames: `$TASKHAND_CHECKPOINT_DIR`.

**Theory.** Each attempt has a directory of its own, filled from the record that the server chose: a process of an older
attempt that nobody could kill writes into another one. What is in it under its final name is whole, because the program
writes beside and renames; names that begin with a dot or end in `.tmp` or `.part` are half-written, and are never kept.

Whatever is whole becomes a record: packed into one file, put where checkpoints' files are, hashed and forced to disk
first, and told to the server second. That is done when the program has changed it (looked at each `every_s`, so that a
machine which dies costs that much), and once more at its end. So the next attempt finds it on any worker that reaches
the same store, resuming follows the same budget and policy as for everybody else, and `worker clear` discards it. On
the same machine an attempt also takes over what the last one had renamed since, if that grew from the very record it
was given.

A file called `progress` that holds a number says how far the program has come.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from protocol.messages.checkpoints import CheckpointRecord, GetCheckpoint, SaveCheckpoint
from supervisor.answers import checkpoints as answers
from supervisor.answers.desk import Desk, Keeping
from supervisor.api import ApiError, ApiRefused
from supervisor.keeper.link import Account
from supervisor.notes import Notes
from supervisor.packing import hand_over, head, pack, unpack
from supervisor.places import trouble

HALF = (".tmp", ".part")
PROGRESS = "progress"
TRIES = 3
OVER = "not_running"
DIGITS = 16
TOLD = 16
"""Records whose answers were not heard in a row; nothing is known any more of one before these."""
LEVELS = 4
"""Flow, run, task, index: the directories above an attempt's."""
REMOVED = 100
"""How often a directory is made anew whose parents are removed meanwhile. Each time another attempt has just ended."""

EndT = TypeVar("EndT")

Signature = tuple[tuple[str, int, int, int], ...]


class HeldForChangeError(Exception):
    """What wrote the record has changed, and its author wants a person to look."""


class Base(msgspec.Struct, frozen=True):
    """What is noted beside a directory: whose it is, and what it has grown from. For who finds it."""

    seq: int
    """The record; 0 where it began with none."""
    kept: str
    """Of what was in it that this record has."""
    print: str | None
    where: str
    names: tuple[str | int, ...]
    account: Account | None
    told: tuple[str, ...] = ()
    """The files of the records that the server was told of since: it may have taken each, and nobody may know."""


class Folder:
    """One attempt's directory."""

    def __init__(
        self,
        home: Path,
        where: str,
        names: tuple[str | int, ...],
        notes: Notes,
        account: Account | None = None,
    ) -> None:
        self._account = account
        self._home = home
        self._where = where
        self._names = names
        self._note = notes.line
        self._remark = notes.remark
        self._path = home
        self._seen: Signature = ()
        self.print: str | None = None
        self._lock = asyncio.Lock()
        self._records: list[str] = []
        self._fault = ""
        """Why what is there is not kept."""

    async def prepare(self, desk: Desk, code: object, inputs: object) -> Path:
        """Make it, and fill it from the record to resume from."""
        self._path = self._home / str(desk.ti_id)
        self.print = f"code={_digest(code)} inputs={_digest(inputs)}"
        asked = GetCheckpoint(self.print)
        while True:
            found = await answers.get(desk, asked)
            if found.hold is not None:
                raise HeldForChangeError(found.hold)
            if found.note is not None:
                self._note("warning", "about the checkpoint", note=found.note)
            record = found.checkpoint
            try:
                await asyncio.to_thread(self._fill, record, left=found.note is None)
            except _blobs().BlobCorrupt as corrupt:
                asked = GetCheckpoint(self.print, record.seq if record else None, str(corrupt)[:300])
                self._note("warning", "a checkpoint is passed over", why=str(corrupt))
            else:
                break
        return self._path

    def resume(self, ti_id: object, inputs: str | None) -> None:
        """Go on with the directory of an attempt that is adopted. What is in it may have been kept already."""
        self._path, self.print = self._home / str(ti_id), inputs
        base, now = _base_of(self._path), self._signature()
        if base is not None and base.kept == _digest(now):
            self._seen = now

    @classmethod
    def found(cls, path: Path, notes: Notes) -> "Folder | None":
        """Give the directory of an attempt whose worker died; None where nobody noted whose it is."""
        base = _base_of(path)
        if base is None:
            return None
        folder = cls(path.parent, base.where, base.names, notes, base.account)
        folder.resume(path.name, base.print)
        return folder

    async def watch(self, desk: Desk, every_s: float) -> None:
        """Record what changes, from time to time, until it is over."""
        while True:
            await asyncio.sleep(every_s)
            await self.keep(desk)

    async def keep(self, desk: Keeping) -> None:
        """Record what changed. What cannot be kept now is tried again with the next change, and said."""
        async with self._lock:
            try:
                changed = await asyncio.to_thread(self._signature)
                if not changed or changed == self._seen:
                    return
                before = await asyncio.to_thread(_blobs().kept, self._place)
                kept = await asyncio.to_thread(self._pack)
                if kept is None:
                    return
                signature, reference, progress = kept
                await asyncio.to_thread(self._tells, reference.uri)
                saved = await answers.keep(desk, SaveCheckpoint(None, reference, progress, self.print))
                self._seen = signature
                await asyncio.to_thread(self._grew, saved.seq, _digest(signature))
                self._records = [*self._records[-1:], reference.uri]
                if len(self._records) > 1:
                    await asyncio.to_thread(_blobs().sweep, self._place, before, self._records)
            except (ApiError, OSError, _blobs().BlobStoreAbsent) as error:
                why = self._refused(error) if isinstance(error, OSError) else str(error)
                if why != self._fault and not _is_over(error):
                    self._remark("the checkpoint directory could not be kept", why)
                self._fault = why
            else:
                self._fault = ""

    def _refused(self, error: OSError) -> str:
        """Say which place it may be: a disk that is full does not say where it is."""
        return trouble(error, f"{self._home} or {self._where}", "or name others (--state-dir, checkpoints.blobs)")

    async def close(self, desk: Desk, child: EndT, judge: Callable[[EndT], None]) -> None:
        """Record what is left there before its child's end is judged: it counts."""
        await self.keep(desk)
        judge(child)

    async def forget(self, *, goes_on: bool) -> None:
        """Remove it: what counts is in the store. What could not be kept is left to the attempt that follows."""
        if goes_on and self._fault:
            return
        await asyncio.to_thread(self._remove)

    def _remove(self) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
        with contextlib.suppress(OSError):
            _note_of(self._path).unlink(missing_ok=True)
        clear(self._home, LEVELS)

    @property
    def _owner(self) -> int | None:
        return None if self._account is None else self._account.uid

    @property
    def _place(self) -> str:
        place: str = _blobs().place_of(self._where, *self._names)
        return place

    def _fill(self, record: CheckpointRecord | None, *, left: bool) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
        make(self._path)
        if record is not None and record.blob is not None:
            with _blobs().checked(record.blob).open("rb") as packed:
                unpack(packed, self._path)
            self._seen = self._signature()
            if left and (found := self._left_since(record.seq, record.blob.uri)) is not None:
                self._take(found)
        self._grew(0 if record is None else record.seq, _digest(self._seen))
        if self._account is not None:
            hand_over(self._path, self._account.uid, self._account.gid)
            for folder in (self._home, *self._home.parents)[: len(self._names)]:
                folder.chmod(0o711)  # whatever our umask: the account has to get through
        self._tidy()

    def _grew(self, seq: int, kept: str) -> None:
        self._put_down(Base(seq, kept, self.print, self._where, self._names, self._account))

    def _tells(self, uri: str) -> None:
        """Note which record is on its way. Whoever dies before the answer does not know whether it is the last one."""
        if (base := _base_of(self._path)) is not None:
            self._put_down(msgspec.structs.replace(base, told=(*base.told, uri)[-TOLD:]))

    def _put_down(self, base: Base) -> None:
        # In one write, and not by renaming: another attempt that begins here tidies away whatever is not its own.
        _note_of(self._path).write_bytes(msgspec.json.encode(base))

    def _left_since(self, seq: int, uri: str) -> Path | None:
        """Give the directory of an attempt that died here after this record: what is whole in it is newer."""
        for folder in self._home.iterdir():
            base = _base_of(folder) if folder != self._path and folder.is_dir() else None
            if base is not None and (base.seq == seq or uri in base.told):
                return folder
        return None

    def _take(self, folder: Path) -> None:
        """Take over what is whole, by renaming it in: whoever dies here leaves what he found."""
        with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=self._home) as file:
            pack(folder, [path.name for path in self._whole(folder)], file, self._owner)
            file.seek(0)
            half = self._path / ".taken"
            half.mkdir()
            unpack(file, half)
            for path in half.iterdir():
                place = self._path / path.name
                if path.is_dir():
                    shutil.rmtree(place, ignore_errors=True)
                path.replace(place)
            half.rmdir()

    def _tidy(self) -> None:
        for path in self._home.iterdir():
            if path.name.partition(".")[0] != self._path.name:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def _whole(self, folder: Path | None = None) -> Iterator[Path]:
        with contextlib.suppress(FileNotFoundError):
            for path in sorted((folder or self._path).iterdir()):
                if not path.name.startswith(".") and not path.name.endswith(HALF):
                    yield path

    def _signature(self) -> Signature:
        found = []
        for top in self._whole():
            for path in (top, *sorted(top.rglob("*"))) if top.is_dir() else (top,):
                with contextlib.suppress(OSError):
                    about = path.lstat()
                    found.append((str(path.relative_to(self._path)), about.st_ino, about.st_mtime_ns, about.st_size))
        return tuple(found)

    def _pack(self) -> tuple[Signature, Any, float | None] | None:
        """Pack one moment of it: what was renamed meanwhile is packed again."""
        for _ in range(TRIES):
            before = self._signature()
            descriptor, name = tempfile.mkstemp(dir=self._home, prefix=".", suffix=".tar")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    pack(self._path, [path.name for path in self._whole()], file, self._owner)
                progress = self._progress()
                if self._signature() == before:
                    return before, _blobs().keep(Path(name), self._place), progress
            except FileNotFoundError:
                continue
            finally:
                Path(name).unlink(missing_ok=True)
        return None

    def _progress(self) -> float | None:
        with contextlib.suppress(OSError, ValueError):
            return float(head(self._path, PROGRESS, 64))
        return None


def make(path: Path) -> None:
    """Make a directory with those above it. Another attempt's end may remove these while they are empty: then again."""
    for _ in range(REMOVED):
        with contextlib.suppress(FileNotFoundError):
            path.mkdir(mode=0o700, parents=True)
            return
    path.mkdir(mode=0o700, parents=True)


def clear(path: Path, levels: int) -> None:
    """Remove a directory and those above it, so many in all, as far as they are empty.

    Whether one is empty the kernel decides in the moment in which it removes it: what another attempt has in it stays.
    """
    with contextlib.suppress(OSError):
        for place in (path, *path.parents)[:levels]:
            place.rmdir()


def _is_over(error: Exception) -> bool:
    """Say whether the server takes it no more because the attempt has ended there, as one that was killed."""
    return isinstance(error, ApiRefused) and error.why.reason == OVER


def _note_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.base")


def _base_of(folder: Path) -> Base | None:
    try:
        return msgspec.json.decode(_note_of(folder).read_bytes(), type=Base)
    except (OSError, msgspec.DecodeError):
        return None


def _blobs() -> Any:  # noqa: ANN401 - a module; ours, but found by name
    return import_module("runner.blobs")


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:DIGITS]
