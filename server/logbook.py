"""Logs of attempts, as their workers upload them: one file each, appended to.

A chunk says where it begins. What is there already is not written twice, so a chunk may be sent again; a gap is refused
with the offset to go on from, so none is skipped. Names of flows, runs and tasks are quoted into names of files, which
cannot lead out of the folder. Readers of this process are woken when a log grows.
"""

import asyncio
import shutil
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

REMEMBERED = 10_000


class LogGap(Exception):
    """A chunk that begins after the end."""

    def __init__(self, expected: int) -> None:
        super().__init__(f"the log has {expected} bytes")
        self.expected = expected


class LogFull(Exception):
    """A chunk that would make a log longer than it may be."""


class LogName(Struct, frozen=True):
    """Whose log it is."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    attempt: str

    def path(self) -> Path:
        """Give where it is, relative to the folder of all logs."""
        task = self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"
        return run_path(self.dag_id, self.run_id) / _safe(task) / f"{self.attempt}.log"


def run_path(dag_id: str, run_id: str) -> Path:
    """Give where the logs of a run are."""
    return Path(_safe(dag_id), _safe(run_id))


def _safe(name: str) -> str:
    """Quote a name; a leading dot too, so that no name is `..`. A very long one keeps its beginning and its hash."""
    quoted = quote(name, safe="[]+:@, ")
    quoted = f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted
    return quoted if len(quoted) <= 200 else f"{quoted[:150]}~{hash_of(name)}"  # noqa: PLR2004 - file systems take 255


def hash_of(name: str) -> str:
    """Give a short name for a long one."""
    return sha256(name.encode()).hexdigest()[:32]


class Logbook:
    """The folder of all logs."""

    def __init__(self, folder: Path, longest: int) -> None:
        self._folder = folder
        self._longest = longest
        self._names: OrderedDict[str, LogName] = OrderedDict()
        self._grown: dict[str, asyncio.Event] = {}

    def remembered(self, attempt: str) -> LogName | None:
        """Give the name of a log that was asked for lately: chunks come many to an attempt."""
        return self._names.get(attempt)

    def remember(self, name: LogName) -> LogName:
        """Keep a name for the next chunk."""
        self._names[name.attempt] = name
        if len(self._names) > REMEMBERED:
            self._names.popitem(last=False)
        return name

    def append(self, name: LogName, offset: int, chunk: bytes) -> None:
        """Write what of a chunk is new. Short and on the loop: a thread would cost more than the write."""
        file = self._folder / name.path()
        size = self.size(name)
        if offset > size:
            raise LogGap(size)
        new = chunk[size - offset :]
        if size + len(new) > self._longest:
            raise LogFull
        if new:
            if not size:
                file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab") as log:
                log.write(new)
            if grown := self._grown.pop(name.attempt, None):
                grown.set()

    def size(self, name: LogName) -> int:
        """Give how long a log is; one that nobody wrote to is empty."""
        try:
            return (self._folder / name.path()).stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, name: LogName, offset: int, limit: int) -> bytes:
        """Give a range."""
        try:
            with (self._folder / name.path()).open("rb") as log:
                log.seek(offset)
                return log.read(limit)
        except FileNotFoundError:
            return b""

    async def growth(self, name: LogName, size: int, seconds: float) -> None:
        """Return when a log is longer than it was, or after so long."""
        event = self._grown.setdefault(name.attempt, asyncio.Event())
        if self.size(name) > size:
            return
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass

    def prune(self, runs: list[tuple[str, str]]) -> None:
        """Remove the logs of runs that are gone."""
        for dag_id, run_id in runs:
            shutil.rmtree(self._folder / run_path(dag_id, run_id), ignore_errors=True)
