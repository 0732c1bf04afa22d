"""Requests that wait, and a server that wants to end: whoever waits is answered at once then, with what there is."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Self


class Closing:
    """Whether the server is about to end."""

    def __init__(self) -> None:
        self._said = asyncio.Event()

    def say(self) -> None:
        """It is. Call it on the loop."""
        self._said.set()

    @property
    def said(self) -> bool:
        """Whether it was said."""
        return self._said.is_set()

    async def unless(self, waiting: Coroutine[Any, Any, Any], *others: "asyncio.Task[Any]") -> None:
        """Wait for something, for the end, or for one of the others, which go on."""
        tasks = [asyncio.create_task(waiting), asyncio.create_task(self._said.wait())]
        try:
            await asyncio.wait([*tasks, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


class Patience:
    """How long one request waits: for its time, while the server goes on, and while its client listens.

    What is given to a client that hung up is lost to everybody else until its lease ends. So the connection is listened
    to: when a request's body is read, what comes next on it is its end.
    """

    def __init__(self, closing: Closing, receive: Callable[[], Awaitable[Any]], seconds: float) -> None:
        self._closing = closing
        self._receive = receive
        self._seconds = seconds
        self._gone: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Self:
        self._ends = asyncio.get_running_loop().time() + self._seconds
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._gone is not None:
            self._gone.cancel()

    @property
    def hung_up(self) -> bool:
        """Whether the client is known to have gone while it was waited for."""
        return self._gone is not None and self._gone.done()

    async def until(self, news: Callable[[float], Coroutine[Any, Any, Any]]) -> bool:
        """Wait for news at most as long as is left; says whether it is worth looking again."""
        left = self._ends - asyncio.get_running_loop().time()
        if left <= 0 or self._closing.said:
            return False
        if self._gone is None:
            self._gone = asyncio.ensure_future(self._listen())
        await self._closing.unless(news(left), self._gone)
        return not self.hung_up

    async def _listen(self) -> None:
        await self._receive()
