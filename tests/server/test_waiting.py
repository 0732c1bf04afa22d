"""Whoever waits is let go: by what it waits for, or by the end."""

import asyncio

import pytest

from server.waiting import Closing, Patience


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


@pytest.mark.parametrize(
    ("seconds", "ends", "hangs_up", "again"), [(9, 0, 0, 1), (9, 0, 1, 0), (9, 1, 0, 0), (0, 0, 0, 0)]
)
def test_patience_ends_for_four_reasons(seconds: float, ends: int, hangs_up: int, again: int) -> None:
    async def looks() -> list[bool]:
        closing, gone, news = Closing(), asyncio.Event(), asyncio.Event()
        async with Patience(closing, gone.wait, seconds) as patience:
            if ends:
                closing.say()
            (gone if hangs_up else news).set()
            return [
                await patience.until(lambda _: asyncio.Event().wait() if hangs_up else news.wait()) for _ in range(2)
            ]

    assert asyncio.run(looks()) == [bool(again)] * 2
