"""The thread that writes the journal.

What must be on the disk before something else happens is *committed*: it waits for an `fdatasync`, and all who wait at
the same time wait for the same one. What need not be is *appended*, and rides with the next commit, or is written a few
milliseconds later. The loop never waits for the disk: it hands records over, and is told.

A segment that has grown is left for a new one, which begins with all that is not over; when that is on the disk, the
ones before it are removed. The same is done after a write has failed, because what a failed `fdatasync` has left in a
file is nobody's to know: the old segments stay until a new one has everything. A disk that is full costs durability,
not outcomes: whoever commits is told that it is not durable, and the server is told all the same.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from supervisor.journal import Note, Opened, frame
from supervisor.journal_files import Disk, Found, JournalError
from supervisor.points import armed, point

LAZY_S = 0.01
GROWTH = 4
"""How many times what it began with a segment may hold, at least: else one with much to carry would carry it always."""


class Notebook(Protocol):
    """Where an attempt writes what it owes: a journal, or what one keeps in mind that has no journal (`owing`)."""

    opened: Opened
    """Whose it is."""

    def append(self, record: Note) -> None:
        """Write it soon."""

    async def commit(self, record: Note) -> bool:
        """Write it, and come back when it is on the disk; False when it is not."""


class Hand(Protocol):
    """Who does one thing after the other, beside the loop."""

    def do(self, work: Callable[[], None]) -> None:
        """Have it done."""

    async def stop(self) -> None:
        """Come back when everything is done. Twice is fine."""


class OneThread:
    """A thread of its own, started with the first thing that is to be done."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._due: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, work: Callable[[], None]) -> None:
        """As `Hand` says."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._due.put(work)

    async def stop(self) -> None:
        """As `Hand` says."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._due.put(None)
            await asyncio.get_running_loop().run_in_executor(None, thread.join)

    def _run(self) -> None:
        while (work := self._due.get()) is not None:
            work()


class Journal:
    """An open journal. `begin` in any thread, the rest from the loop, where `on_fault` hears of trouble and its end."""

    def __init__(  # noqa: PLR0913 - a journal's parts
        self,
        disk: Disk,
        found: Found,
        opened: Opened,
        limit: int,
        on_fault: Callable[[str], None] = lambda _: None,
        *,
        hand: Hand | None = None,
    ) -> None:
        self.opened = opened
        self.on_trouble: Callable[[], None] = lambda: None
        """Called, in the loop, when what is committed is not durable any more."""
        self.written = 0
        """Bytes, for who measures."""
        self.commits = 0
        self._disk = disk
        self._hand: Hand = hand or OneThread("journal")
        self._story = found.story
        self._number = max(found.segments, default=0)
        self._limit = limit
        self._on_fault = on_fault
        self._lock = threading.Lock()
        self._pending: list[Note] = []
        self._waiting: list[asyncio.Future[bool]] = []
        self._scheduled = False
        self._lazy: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = -1
        self._size = 0
        self._most = limit
        self._fault = ""

    @property
    def troubled(self) -> bool:
        """Whether it cannot be written, as far as we know."""
        return bool(self._fault)

    def begin(self) -> None:
        """Start a segment of our own: what others left is read, and never written to.

        Raises JournalError when it cannot; then it is tried again with each record.
        """
        self._story.take(self.opened)
        try:
            self._turn()
        except OSError as error:
            self._fail(error)
            raise JournalError(f"{self._disk} cannot be written: {error.strerror}") from error

    def append(self, record: Note) -> None:
        """Write it soon."""
        with self._lock:
            self._story.take(record)
            self._pending.append(record)
        if not self._scheduled and self._lazy is None:
            self._lazy = asyncio.get_running_loop().call_later(LAZY_S, self._wake)

    async def commit(self, record: Note) -> bool:
        """Write it and all before it, and come back when it is on the disk; False when it cannot be."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._story.take(record)
            self._pending.append(record)
            self._waiting.append(done)
        point("journal.queued")
        self._wake()
        return await done

    async def stop(self) -> None:
        """Write what there is and end the thread. Twice is fine."""
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None
        await self._hand.stop()
        await asyncio.get_running_loop().run_in_executor(None, self._end)

    def _wake(self) -> None:
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None
        self._loop = asyncio.get_running_loop()
        if not self._scheduled:
            self._scheduled = True
            self._hand.do(self._batch)

    # Below: in the thread.

    def _batch(self) -> None:
        with self._lock:
            self._scheduled = False
            records, self._pending = self._pending, []
            waiting, self._waiting = self._waiting, []
        if not records:
            return
        durable = self._put(records, sync=bool(waiting))
        if waiting:
            self.commits += 1
            self._tell(_settle, waiting, durable)

    def _put(self, records: list[Note], *, sync: bool) -> bool:
        """Write; whether it is durable, if that is asked."""
        try:
            if self._fd == -1:
                self._turn()
                if self._fault:  # else it was stopped for a successor that could not be executed
                    self._tell(self._on_fault, "the journal is written again")
                self._fault = ""
                return True
            self._write(records, torn=sync and armed("journal.torn"))
            if sync:
                point("journal.written")
                self._disk.sync(self._fd)
                point("journal.synced")
            if self._size > self._most:
                self._turn()
        except OSError as error:
            self._fail(error)
            return False
        return True

    def _turn(self) -> None:
        """Begin a segment with all that is not over, and remove the ones before it when that is on the disk."""
        with self._lock:
            records = [*self._story.records(self.opened.session)]
        self._number += 1
        old = self._fd
        self._fd = self._disk.create(self._number)
        self._size = 0
        if old != -1:
            self._disk.close(old)
        self._write(records)
        self._disk.sync(self._fd)
        self._disk.settle()
        self._most = max(self._limit, self._size * GROWTH)
        for number in self._disk.numbers():
            if number < self._number:
                self._disk.remove(number)

    def _write(self, records: Iterable[Note], *, torn: bool = False) -> None:
        parts: list[bytes] = []
        end = self._size
        for record in records:
            part = frame(record, self._number, end)
            parts.append(part)
            end += len(part)
        data = b"".join(parts)
        if torn:
            self._disk.write(self._fd, memoryview(data)[:-5])
            point("journal.torn")
        view = memoryview(data)
        while view:
            view = view[self._disk.write(self._fd, view) :]
        self._size = end
        self.written += len(data)

    def _fail(self, error: OSError) -> None:
        """Trust this file no more: the next record begins another one."""
        if self._fd != -1:
            with contextlib.suppress(OSError):
                self._disk.close(self._fd)
            if self._size == 0:  # it has nothing yet that is whole: the one before it has
                self._disk.remove(self._number)
        self._fd = -1
        why = error.strerror or str(error)
        if why != self._fault:
            self._fault = why
            self._tell(self._on_fault, f"the journal cannot be written: {why}; outcomes are told without it")
            self._tell(self.on_trouble)

    def _end(self) -> None:
        self._batch()
        if self._fd == -1 and self._fault:  # what was settled meanwhile is nowhere yet, and there may be room again
            with contextlib.suppress(OSError):
                self._turn()
        if self._fd != -1:
            with contextlib.suppress(OSError):
                self._disk.sync(self._fd)
            self._disk.close(self._fd)
            self._fd = -1

    def _tell(self, hear: Callable[..., object], *words: object) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: there is nobody left to hear
                self._loop.call_soon_threadsafe(hear, *words)


def _settle(waiting: list[asyncio.Future[bool]], durable: bool) -> None:  # noqa: FBT001 - a callback's word
    for done in waiting:
        if not done.done():
            done.set_result(durable)
