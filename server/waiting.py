"""Requests that wait, and a server that wants to end: whoever waits is answered at once then, with what there is."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


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

    async def unless(self, waiting: Coroutine[Any, Any, Any]) -> None:
        """Wait for something, or for the end."""
        tasks = [asyncio.create_task(waiting), asyncio.create_task(self._said.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
