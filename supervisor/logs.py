"""One attempt's log: from a child's stdout, stderr and log channel into one file of JSON lines.

When it is read is the pump's to say (`logs_pump`). How long a read's lines take depends on what they are and on how
much is masked in them, so each log finds its own size of a bite.

Nothing grows. A pipe that is not read stops its child, which is the first brake, and costs nothing. The second is the
file's queue: while it is long its pipes are not read. But a child must not hang because a disk does: when the queue has
not moved for `stall_s`, its lines are read and dropped. The third is the file's size (`max_bytes`): beyond it lines are
dropped too. Whatever is dropped is counted, and the count is in the log itself.
"""

import asyncio
import contextlib
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Protocol

import msgspec

from supervisor.logs_lines import Lines, LineSplitter
from supervisor.logs_masking import Masker
from supervisor.logs_records import Manner, Source, cut, logged, printed, said, split, stamp
from supervisor.logs_stacks import HOLD_S, MOST_HELD, shaped
from supervisor.logs_writer import HIGH_MARK, LogWriter
from supervisor.slate import Part, Slate

LARGEST_READ = 64 * 1024
SMALLEST_READ = 1024
BUDGET_S = 0.002
MOST_FEEDS = 8
"""Of one attempt: stdout, stderr, the log channel, and what it asks for besides."""


Size = Annotated[int, msgspec.Meta(ge=1)]


class LogSettings(msgspec.Struct, frozen=True):
    """How much of a task's words is kept."""

    max_line: Size = 64 * 1024
    """Characters of one printed line."""
    max_record: Size = 1024 * 1024
    """Bytes of one line on the log channel."""
    max_bytes: Size = 512 * 1024 * 1024
    """Bytes of one attempt's file; the supervisor's own words come on top."""
    stall_s: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    """How long a file may not move before lines are dropped instead of the child being stopped."""


class LogTotals(msgspec.Struct, frozen=True):
    """What became of an attempt's words."""

    written_bytes: int
    read_bytes: int
    dropped_lines: int
    dropped_bytes: int
    lost_lines: int
    """Lines that could not be written."""
    fault: str
    """Why, the last time."""


class Feed:
    """One of a child's fds."""

    def __init__(self, log: "AttemptLog", fd: int, source: Source, limit: int) -> None:
        self.log = log
        self.fd = fd
        self.source = source
        self.splitter = LineSplitter(limit)
        self.noted = True
        """Whether the slate has something of it."""


PARTS = {Source.STDOUT: Part.STDOUT, Source.STDERR: Part.STDERR, Source.LOG: Part.LOG}


class Pump(Protocol):
    """What a log needs of who reads it."""

    settings: LogSettings
    writer: LogWriter

    def register(self, feed: Feed) -> None:
        """Read this fd from now on."""

    def unregister(self, feed: Feed) -> None:
        """Stop reading this fd. Twice is fine."""

    def forget(self, log: "AttemptLog") -> None:
        """Let go of a log that has ended."""


class AttemptLog:
    """One attempt's log. It owns the fds that are attached to it."""

    def __init__(self, pump: Pump, path: Path, masker: Masker) -> None:
        self.path = path
        self.masker = masker
        self._pump = pump
        self._settings = pump.settings
        self._feeds: set[Feed] = set()
        self._file = pump.writer.open(path, self._note_loss, self._room)
        self._loop = asyncio.get_running_loop()
        self._silent = asyncio.Event()
        self._silent.set()
        self._stalled: asyncio.TimerHandle | None = None
        self._shedding = ""
        self._bite = LARGEST_READ
        self._kept = 0
        self._read = 0
        self._dropped_lines = 0
        self._dropped_bytes = 0
        self._finished = False
        self._held: list[bytes] | None = None
        self._held_from = 0
        self._slate: Slate | None = None
        self._whole = True

    @property
    def totals(self) -> LogTotals:
        """What became of the words so far."""
        return LogTotals(
            self._file.written,
            self._read,
            self._dropped_lines,
            self._dropped_bytes,
            self._file.lost_lines,
            self._file.last_fault,
        )

    def attach(self, fd: int, source: Source, slate: Slate | None = None) -> None:
        """Read this fd to its end, and close it then. With a slate, from where another supervisor stopped."""
        os.set_blocking(fd, False)
        settings = self._settings
        feed = Feed(self, fd, source, settings.max_record if source is Source.LOG else settings.max_line)
        if slate is not None:
            self._go_on(slate, feed)
        self._feeds.add(feed)
        self._silent.clear()
        if self._stalled is None:
            self._pump.register(feed)

    def channel(self) -> int | None:
        """Open a further log channel: the end to write to. None where there are many: each costs the worker a fd."""
        if len(self._feeds) >= MOST_FEEDS:
            return None
        ours, theirs = socket.socketpair()
        self.attach(ours.detach(), Source.LOG)
        return theirs.detach()

    def say(self, level: str, event: str, **fields: object) -> None:
        """Add a line of the supervisor's own."""
        self._say(0, level, event, **fields)

    def hold(self) -> None:
        """Hold back what comes over stderr, until its end or for as long as a dump of stacks may take."""
        if self._held is None and not self._finished:
            self._held, self._held_from = [], self._read
            self._loop.call_later(HOLD_S, self._let_go)

    async def finish(self, within_s: float) -> LogTotals:
        """Read what is left, at most for so long, and close the file. Twice is fine; the second may wait less."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._silent.wait()
        self.end()
        await asyncio.shield(self._file.closed)
        self._pump.forget(self)
        return self.totals

    def end(self) -> None:
        """Read no more, and have the file closed when what was read is written. Twice is fine."""
        self._end_feeds()
        if not self._finished:
            self._finished = True
            self._tell_dropped()
            self._pump.writer.close(self._file)
        if self._stalled is not None:
            self._stalled.cancel()

    # Below: for the pump and the writer.

    def read(self, feed: Feed) -> None:
        """Read once from a fd that has something, or has ended."""
        if self._slate is not None:
            self._slate.count_read(self._read + 1)
        try:
            data = os.read(feed.fd, self._bite)
        except BlockingIOError:
            data = None
        except OSError:
            data = b""
        self._read += len(data or b"")
        if self._slate is not None:
            self._slate.count_read(self._read)
        if data is not None:
            self._take(feed, data)

    def _take(self, feed: Feed, data: bytes) -> None:
        lines = Lines()
        if self._shedding:
            self._drop(data)
        else:
            feed.splitter.limit = max(feed.splitter.limit, self._settings.max_line + self.masker.longest)
            lines = feed.splitter.feed(data) if data else feed.splitter.end()
        if self._slate is not None:
            self._note_rest(self._slate, feed)
        self._keep(feed.source, lines)
        if not data:
            self._close(feed)

    def _go_on(self, slate: Slate, feed: Feed) -> None:
        """Begin with what the last supervisor had of a line, or say that something of its is missing."""
        if self._slate is None:
            self._slate, (read, kept) = slate, slate.counted()
            self._whole = read <= kept
            self._read = read
            self._file.upto = kept  # a line of ours that comes before the first read takes nothing back
            self._file.on_kept = slate.count_kept
            if not self._whole:
                missing = "lines may be missing here: the worker was killed over a read"
                self._say(read, "warning", missing, bytes=read - kept)
        if self._whole:
            feed.splitter.feed(slate.part(PARTS[feed.source]))

    def _say(self, upto: int, level: str, event: str, **fields: object) -> None:
        self._pump.writer.write(self._file, said(level, event, fields, _now(), self.masker), upto)

    def _note_rest(self, slate: Slate, feed: Feed) -> None:
        """What is no line yet is kept too, so that all that was read is in safety when the lines are written."""
        if feed.splitter.held or feed.noted:
            slate.inscribe(PARTS[feed.source], feed.splitter.rest)
            feed.noted = feed.splitter.held > 0

    def learn(self, took_s: float) -> None:
        """Take smaller bites when one took more than its share of a turn, and larger ones when they are easy."""
        if took_s > BUDGET_S and self._bite > SMALLEST_READ:
            self._bite //= 2
        elif took_s < BUDGET_S / 4 and self._bite < LARGEST_READ:
            self._bite *= 2

    def _let_go(self) -> None:
        """Put down what was held back, a dump of stacks in order."""
        held, self._held = self._held, None
        if held is not None:
            self._keep(Source.STDERR, Lines(None, shaped(b"\n".join(held)) if held else None))

    def _keep(self, source: Source, lines: Lines) -> None:
        if self._held is not None and source is Source.STDERR:
            if lines.cut is None and sum(map(len, self._held)) < MOST_HELD:
                self._held += [] if lines.whole is None else [lines.whole]
                return
            self._let_go()
        # What is held back is not kept: were we killed now, it would be missed.
        upto = self._read if self._held is None else self._held_from
        if lines.cut is None and lines.whole is None:
            self._pump.writer.write(self._file, b"", upto)
            return
        manner = Manner(_now(), self.masker, self._settings.max_line)
        record = b""
        if lines.cut is not None:
            record = cut(source, lines.cut.start, lines.cut.gone, manner)
        if lines.whole is not None:
            if source is Source.LOG:
                record += b"".join(logged(line, manner) for line in split(lines.whole))
            else:
                record += printed(source, lines.whole, manner)
        self._kept += len(record)
        self._pump.writer.write(self._file, record, upto)
        if self._kept > self._settings.max_bytes:
            self._shed(f"the log has reached its limit of {self._settings.max_bytes} bytes")
        elif self._file.queued > HIGH_MARK:
            self._hold()

    def _hold(self) -> None:
        """Stop reading until the file has room, or for so long that it is not our child who should wait."""
        if self._stalled is None:
            self._file.wants_room = True
            self._stalled = self._loop.call_later(self._settings.stall_s, self._stall)
            for feed in self._feeds:
                self._pump.unregister(feed)

    def _room(self) -> None:
        """Read again: the file has room. What was dropped meanwhile is told."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
            for feed in self._feeds:
                self._pump.register(feed)
        if self._shedding and self._kept <= self._settings.max_bytes:
            self._tell_dropped()
            self._shedding = ""

    def _stall(self) -> None:
        self._stalled = None
        self._shed(f"the log's disk has taken nothing for {self._settings.stall_s:g} s")
        for feed in self._feeds:
            self._pump.register(feed)

    def _shed(self, reason: str) -> None:
        self._shedding = reason
        self.say("warning", f"{reason}: from here on lines are counted and not kept")

    def _drop(self, data: bytes) -> None:
        self._dropped_lines += data.count(b"\n")
        self._dropped_bytes += len(data)

    def _tell_dropped(self) -> None:
        lines, size = self._dropped_lines, self._dropped_bytes
        if lines or size:
            self.say("warning", "lines were dropped", dropped_lines=lines, dropped_bytes=size, reason=self._shedding)

    def _note_loss(self, lines: int, fault: str) -> bytes:
        return said("error", "lines were lost", {"lost_lines": lines, "reason": fault}, _now(), self.masker)

    def _close(self, feed: Feed) -> None:
        self._pump.unregister(feed)
        self._feeds.discard(feed)
        os.close(feed.fd)
        if feed.source is Source.STDERR:
            self._let_go()
        if not self._feeds:
            self._silent.set()

    def _end_feeds(self) -> None:
        for feed in list(self._feeds):
            if not self._shedding:
                self._keep(feed.source, feed.splitter.end())
            self._close(feed)
        self._let_go()


def _now() -> str:
    return stamp(datetime.now(UTC))
