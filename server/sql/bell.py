"""Wake-ups inside one process: who waits for work is told when there is some, and nobody polls."""

import asyncio
from collections.abc import Iterable, Sequence


class Bell:
    """Lives on the loop. A ring between looking and waiting is not missed: what was seen is a number."""

    def __init__(self) -> None:
        self._count = 0
        self._last: dict[str, int] = {}
        self._waiting: dict[str, dict[asyncio.Future[bool], None]] = {}
        """In the order in which they came: whoever waits longest is woken first."""

    @property
    def seen(self) -> int:
        """The number that a later ring exceeds."""
        return self._count

    def ring(self, whom: Iterable[str]) -> None:
        """Wake everybody who waits for one of these."""
        self._count += 1
        for name in whom:
            self._last[name] = self._count
            for future in self._waiting.pop(name, ()):
                if not future.done():
                    future.set_result(True)

    def ring_all(self) -> None:
        """Wake everybody: it is not known what was missed, or there is nothing more to wait for."""
        self.ring({*self._last, *self._waiting})

    async def wait(self, whom: Sequence[str], seen: int, seconds: float) -> bool:
        """Return when one of these was rung after `seen`, or after so many seconds (then False)."""
        if any(self._last.get(name, 0) > seen for name in whom):
            return True
        future = asyncio.get_running_loop().create_future()
        for name in whom:
            self._waiting.setdefault(name, {})[future] = None
        try:
            async with asyncio.timeout(seconds):
                return bool(await future)
        except TimeoutError:
            return False
        finally:
            for name in whom:
                if waiting := self._waiting.get(name):
                    waiting.pop(future, None)
                    if not waiting:
                        del self._waiting[name]
