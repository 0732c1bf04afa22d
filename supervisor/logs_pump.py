"""All logs of a worker are read here, in their place: last.

Their fds are not in the loop's own poll but in one of ours, which the loop sees as a single fd; on each turn of the
loop we read until a budget of time is used up, and whoever did not get a turn is first in the next. So a thousand
flooding children delay a frame, a heartbeat or an exit by one budget and not by a thousand reads.
"""

import asyncio
import select
import time
from collections.abc import Callable
from pathlib import Path

from supervisor.logs import BUDGET_S, AttemptLog, Feed, LogSettings
from supervisor.logs_masking import Masker
from supervisor.logs_writer import LogWriter

READY_AT_ONCE = 16


class LogPump:
    """Reads all logs of a worker, and keeps them in their place."""

    def __init__(self, settings: LogSettings, on_fault: Callable[[str], None] = lambda _: None) -> None:
        self.settings = settings
        self.writer = LogWriter(on_fault)
        self._epoll: select.epoll | None = None
        self._feeds: dict[int, Feed] = {}
        self._logs: set[AttemptLog] = set()

    def open(self, path: Path, masker: Masker | None = None) -> AttemptLog:
        """Begin an attempt's log."""
        if self._epoll is None:
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._turn)
        log = AttemptLog(self, path, masker or Masker())
        self._logs.add(log)
        return log

    async def pause(self) -> None:
        """Read no more, and come back when all that was read is written. For who is about to be replaced."""
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        await self.writer.stop()

    def resume(self) -> None:
        """Go on: there was nobody to replace us."""
        self.writer.start()
        if self._epoll is not None:
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._turn)

    async def stop(self) -> None:
        """End all logs, written as far as they were read. Twice is fine, and before the first log too."""
        await asyncio.gather(*(log.finish(0.0) for log in list(self._logs)))
        await self.writer.stop()
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    # Below: for the logs.

    def forget(self, log: AttemptLog) -> None:
        """Let go of a log that has ended."""
        self._logs.discard(log)

    def register(self, feed: Feed) -> None:
        """Read this fd from now on."""
        if self._epoll is not None:
            self._feeds[feed.fd] = feed
            self._epoll.register(feed.fd, select.EPOLLIN)

    def unregister(self, feed: Feed) -> None:
        """Stop reading this fd. Twice is fine."""
        if self._feeds.pop(feed.fd, None) is not None and self._epoll is not None:
            self._epoll.unregister(feed.fd)

    def _turn(self) -> None:
        assert self._epoll is not None  # noqa: S101 - it is what called us
        until = time.perf_counter() + BUDGET_S
        # The kernel moves who was reported to the end of its list, so nobody is passed over for long.
        began = time.perf_counter()
        for fd, _ in self._epoll.poll(0, READY_AT_ONCE):
            feed = self._feeds.get(fd)
            if feed is None:
                continue
            feed.log.read(feed)
            now = time.perf_counter()
            feed.log.learn(now - began)
            if now >= until:
                return
            began = now
