import asyncio
from collections.abc import Coroutine
from typing import Any

from server.sql.bell import Bell


def played(asking: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asking)


def test_who_waits_is_woken_by_its_name() -> None:
    async def play() -> None:
        bell = Bell()
        waiting = asyncio.create_task(bell.wait(["a", "b"], bell.seen, 30))
        await asyncio.sleep(0)
        bell.ring(["c"])
        assert not waiting.done()
        bell.ring(["b"])
        assert await waiting

    played(play())


def test_a_ring_between_looking_and_waiting_is_not_missed() -> None:
    async def play() -> None:
        bell = Bell()
        seen = bell.seen
        bell.ring(["a"])
        assert await bell.wait(["a"], seen, 30)
        assert not await bell.wait(["a"], bell.seen, 0.001)

    played(play())


def test_all_who_wait_are_woken_and_nothing_is_left_of_them() -> None:
    async def play() -> None:
        bell = Bell()
        waiting = [asyncio.create_task(bell.wait(["a", name], bell.seen, 30)) for name in ("x", "y")]
        gone = asyncio.create_task(bell.wait(["a"], bell.seen, 30))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        bell.ring_all()
        assert await asyncio.gather(*waiting) == [True, True]
        assert vars(bell)["_waiting"] == {}

    played(play())


def test_whoever_waits_longest_is_woken_first() -> None:
    async def play() -> None:
        bell = Bell()
        woken: list[int] = []

        async def wait(number: int) -> None:
            await bell.wait(["a"], bell.seen, 30)
            woken.append(number)

        waiting = [asyncio.create_task(wait(number)) for number in range(50)]
        await asyncio.sleep(0)
        bell.ring(["a"])
        await asyncio.gather(*waiting)
        assert woken == [*range(50)]

    played(play())
