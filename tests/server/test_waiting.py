"""Whoever waits is let go: by what it waits for, or by the end."""

import asyncio

import pytest

from server.waiting import Closing


def test_it_waits_for_either() -> None:
    async def both() -> list[bool]:
        closing, news = Closing(), asyncio.Event()
        asyncio.get_running_loop().call_soon(news.set)
        await closing.unless(news.wait())
        before = closing.said
        asyncio.get_running_loop().call_soon(closing.say)
        await closing.unless(asyncio.Event().wait())
        return [before, closing.said]

    assert asyncio.run(both()) == [False, True]


def test_what_goes_wrong_while_waiting_is_not_lost() -> None:
    async def broken() -> None:
        raise ValueError("broken")

    async def waits() -> None:
        await Closing().unless(broken())

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(waits())
