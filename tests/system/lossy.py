"""A bad network between a worker and its server: requests and answers are dropped, doubled and delayed, by a seed.

It is a proxy in a thread of its own. A request that is dropped either never reaches the server, or reaches it and its
answer is lost: what is left is the closed connection, which looks the same. One that is doubled is asked twice, at two
moments; the worker gets the first answer that comes.
"""

import asyncio
import contextlib
import random
import threading
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

from msgspec import Struct

from bench.minimal_api import shut


class Weather(Struct, frozen=True):
    """How bad it is."""

    dropped: float = 0.2
    doubled: float = 0.1
    delay_s: float = 5.0
    """At most, of a request and again of its answer; half as much in the middle."""


class Proxy:
    """The network. `seen` counts what it has done."""

    def __init__(self, server: str, weather: Weather, seed: int) -> None:
        parts = urlsplit(server)
        self._where = parts.hostname or "127.0.0.1", parts.port or 80
        self._weather = weather
        self._random = random.Random(seed)  # noqa: S311 - weather, not secrets
        self.seen: Counter[str] = Counter()
        self.url = ""
        self._asking: set[asyncio.Task[bytes | None]] = set()

    async def serve(self, ready: threading.Event, over: asyncio.Event) -> None:
        """Carry requests until it is over."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await over.wait()
        await shut(server)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while (answer := await self._carried(await _message(reader))) is not None:
                writer.write(answer)
        writer.transport.abort()

    async def _carried(self, request: bytes) -> bytes | None:
        """Give the answer that arrives, if one does."""
        self.seen["requests"] += 1
        luck = self._random.random()
        asked = [self._ask(request)]
        if luck < self._weather.dropped / 2:
            self.seen["dropped"] += 1
            asked[0].cancel()
            return None
        if luck < self._weather.dropped:
            self.seen["answers dropped"] += 1
            await asyncio.wait(asked)
            return None
        if luck < self._weather.dropped + self._weather.doubled:
            self.seen["doubled"] += 1
            asked.append(self._ask(request))
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    def _ask(self, request: bytes) -> "asyncio.Task[bytes | None]":
        task = asyncio.create_task(self._asked(request))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return task

    async def _asked(self, request: bytes) -> bytes | None:
        await asyncio.sleep(self._random.random() * self._weather.delay_s / 2)
        try:
            reader, writer = await asyncio.open_connection(*self._where)
        except OSError:
            return None
        try:
            writer.write(request)
            answer = await _message(reader, bodiless=request.startswith(b"HEAD "))
        except (OSError, asyncio.IncompleteReadError):
            return None
        finally:
            writer.transport.abort()
        await asyncio.sleep(self._random.random() * self._weather.delay_s / 2)
        return answer


async def _message(reader: asyncio.StreamReader, *, bodiless: bool = False) -> bytes:
    """Read one request or answer, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    length = next((int(value) for name, _, value in lines if name == b"content-length"), 0)
    return head if bodiless else head + await reader.readexactly(length)


@contextlib.contextmanager
def proxied(server: str, weather: Weather, seed: int = 1) -> Iterator[Proxy]:
    """Have a bad network before a server."""
    proxy, ready = Proxy(server, weather, seed), threading.Event()
    loop, over = asyncio.new_event_loop(), asyncio.Event()

    def run() -> None:
        loop.run_until_complete(proxy.serve(ready, over))
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(asyncio.sleep(0))  # transports that were aborted are closed in the next turn
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
