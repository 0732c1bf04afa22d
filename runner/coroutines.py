"""Tasks that are `async def`, and questions from inside of them. Imported with the first: asyncio costs 20 ms.

A stop cancels the task's coroutine in its own loop, where asyncio can run its clean-up in order. A loop that is blocked
never hears of it; then the last call interrupts it like any other code.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from protocol.messages.shape import Message
from runner.client import Client, Question
from runner.interrupts import Interrupts
from runner.outcomes import WORDS, TaskInterrupted, behind

ResultT = TypeVar("ResultT")


def run(coroutine: Coroutine[Any, Any, ResultT], interrupts: Interrupts) -> ResultT:
    """Run a task's coroutine to its end."""
    stopped = False

    async def watched() -> ResultT:
        loop = asyncio.get_running_loop()
        own = asyncio.current_task()

        def cancel() -> None:
            nonlocal stopped
            if own is not None and not own.done():
                stopped = True
                interrupts.cancelled()
                own.cancel()

        interrupts.cancel_with(lambda: loop.call_soon_threadsafe(cancel))
        return await coroutine

    try:
        return asyncio.run(watched())
    except BaseException as error:
        if not stopped or isinstance(error, WORDS) or behind(error, asyncio.CancelledError) is None:
            raise
        only = isinstance(error, asyncio.CancelledError)
        raise TaskInterrupted("stop: the task was cancelled") from (None if only else error)


async def aask(client: Client, message: Message) -> Message | None:
    """Ask without blocking the loop."""
    loop = asyncio.get_running_loop()
    answered = loop.create_future()

    def settle() -> None:
        if not answered.done():
            answered.set_result(None)

    question = Question(lambda: loop.call_soon_threadsafe(settle))
    try:
        client.put(question, message)
        if not client.flush():
            await loop.run_in_executor(None, client.send, question)
        await answered
        return client.answer(question)
    finally:
        client.abandon(question)
