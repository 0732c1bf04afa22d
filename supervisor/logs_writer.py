"""The thread that writes the attempts' logs.

A file system can stall a writer for seconds, and the loop must not stall with it; so files are opened, written and
closed here, and nowhere else. One thread for all logs: what matters is that it is not the loop's. While it is writing,
what comes for a file is collected, so the more there is to write the fewer writes it takes.

A write that fails (a full disk, a quota) loses its lines and nothing more: they are counted, the next lines are tried
again, and when one gets through it is preceded by the count.
"""

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path

HIGH_MARK = 4 * 1024 * 1024
LOW_MARK = 1024 * 1024
NoteLoss = Callable[[int, str], bytes]
"""Gives the record that says how many lines were lost, and why."""


class LogFile:
    """One file. Made by `LogWriter.open`; its numbers may be read at any time."""

    def __init__(self, path: Path, note_loss: NoteLoss, on_room: Callable[[], None]) -> None:
        self.path = path
        self.queued = 0
        """Bytes that wait to be written."""
        self.written = 0
        self.lost_lines = 0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.note_loss = note_loss
        self.on_room = on_room
        self.on_kept: Callable[[int], None] | None = None
        """Called in the thread: of all that was read, so much is written, or counted as lost."""
        self.upto = 0
        self.pending: list[bytes] = []
        self.scheduled = False
        self.closing = False
        self.wants_room = False
        self.fd = -1
        self.torn = False
        self.untold = 0
        self.fault = ""
        """What is wrong now."""
        self.last_fault = ""


class LogWriter:
    """Starts its thread with the first file. `on_fault` hears, in the loop, when a file begins to fail and recovers."""

    def __init__(self, on_fault: Callable[[str], None] = lambda _: None) -> None:
        self._on_fault = on_fault
        self._lock = threading.Lock()
        self._due: queue.SimpleQueue[LogFile | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, path: Path, note_loss: NoteLoss, on_room: Callable[[], None]) -> LogFile:
        """Give a file to write to; it is opened, and its folder made, with the first write."""
        self.start()
        return LogFile(path, note_loss, on_room)

    def start(self) -> None:
        """Have the thread, after a stop too. Twice is fine."""
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
            self._thread.start()

    def write(self, file: LogFile, data: bytes, upto: int = 0) -> None:
        """Queue whole lines. Never blocks and never refuses: who writes a lot looks at `queued`.

        `upto` says of how many bytes that were read these are the last lines. Where neither says anything new, the
        thread sleeps on: to wake it has the loop wait for the interpreter's lock.
        """
        if not data and upto <= file.upto:
            return
        with self._lock:
            file.upto = max(file.upto, upto)
            file.pending.append(data)
            file.queued += len(data)
        self._schedule(file)

    def close(self, file: LogFile) -> None:
        """Close it when all is written; its `closed` says when. Twice is fine."""
        with self._lock:
            file.closing = True
        self._schedule(file)

    async def stop(self) -> None:
        """Write what is queued and end the thread. Twice is fine, and before the first file too."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._due.put(None)
            await asyncio.get_running_loop().run_in_executor(None, thread.join)

    def _schedule(self, file: LogFile) -> None:
        if not file.scheduled:
            file.scheduled = True
            self._due.put(file)

    # Below: in the thread.

    def _run(self) -> None:
        while (file := self._due.get()) is not None:
            with self._lock:
                file.scheduled = False
                pending, file.pending = file.pending, []
                closing, upto, on_kept = file.closing, file.upto, file.on_kept
            if any(pending):
                self._write(file, b"".join(pending))
            if on_kept is not None:
                on_kept(upto)
            if closing:
                self._close(file)

    def _write(self, file: LogFile, data: bytes) -> None:
        try:
            if file.fd == -1:
                file.path.parent.mkdir(parents=True, exist_ok=True)
                file.fd = os.open(file.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
                _end_line(file.fd)
            if file.untold or file.torn:
                self._write_all(file, self._loss(file))
                self._tell(self._on_fault, f"the log {file.path} is written again; {file.untold} lines were lost")
                file.untold, file.fault, file.torn = 0, "", False
            self._write_all(file, data)
        except OSError as error:
            lines = data.count(b"\n")
            file.lost_lines += lines
            file.untold += lines
            if not file.fault:
                self._tell(
                    self._on_fault, f"the log {file.path} cannot be written: {error.strerror}; lines are counted"
                )
            file.fault = file.last_fault = error.strerror or str(error)
        with self._lock:
            file.queued -= len(data)
            room = file.wants_room and file.queued <= LOW_MARK
            if room:
                file.wants_room = False
        if room:
            self._tell(file.on_room)

    def _write_all(self, file: LogFile, data: bytes) -> None:
        view = memoryview(data)
        while view:
            count = os.write(file.fd, view)
            file.written += count
            view = view[count:]
            file.torn = bool(view)

    def _loss(self, file: LogFile) -> bytes:
        return (b"\n" if file.torn else b"") + file.note_loss(file.untold, file.fault)

    def _close(self, file: LogFile) -> None:
        if file.fd != -1:
            if file.untold:
                with contextlib.suppress(OSError):
                    self._write_all(file, self._loss(file))
            with contextlib.suppress(OSError):
                os.close(file.fd)
            file.fd = -1
        self._tell(_settle, file.closed)

    def _tell(self, hear: Callable[..., object], *words: object) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: there is nobody left to hear
                self._loop.call_soon_threadsafe(hear, *words)


def _end_line(fd: int) -> None:
    """End the line in whose middle another writer of this file was killed."""
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        os.write(fd, b"\n")


def _settle(closed: "asyncio.Future[None]") -> None:
    if not closed.done():
        closed.set_result(None)
