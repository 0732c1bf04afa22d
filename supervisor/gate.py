"""Where calls wait while nobody answers: the shell around `circuit`, one for each API of a worker.

Whoever wants to call and finds the gate `shut` asks for its turn, and gets it as the probe or when all may go. What
keeps an attempt alive goes before what a child asks, so that a question which can never be answered is not probed with
for ever. While the gate is open it costs a call nothing but a look at a flag.

Who waits may be called off at any moment, also in the one in which its turn comes: between a cancellation and the end
of the call that it ends lies a turn of the loop. So nobody is given the probe who is called off already, and one who is
called off with the probe in its hands gives it back; otherwise all would wait for a probe that nobody makes.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from supervisor.circuit import Circuit, State


class Gate:
    """The line before an API."""

    def __init__(self, circuit: Circuit, on_news: Callable[[str], None] = lambda _: None) -> None:
        self.shut = False
        self.away_since: float | None = None
        """Since when nobody answers, by the loop's clock; None while somebody does."""
        self._circuit = circuit
        self._on_news = on_news
        self._lines: dict[bool, deque[asyncio.Future[bool]]] = {True: deque(), False: deque()}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return sum(map(len, self._lines.values()))

    async def turn(self, within_s: float | None, *, vital: bool) -> bool:
        """Wait for a turn: whether it is the probe's. Raises TimeoutError when it does not come in time."""
        loop, line = asyncio.get_running_loop(), self._lines[vital]
        async with asyncio.timeout(within_s):
            while self.shut:
                mine: asyncio.Future[bool] = loop.create_future()
                line.append(mine)
                self._arm(loop)
                try:
                    if await mine:
                        return True
                except asyncio.CancelledError:
                    if mine.done() and not mine.cancelled() and mine.result():
                        self._give_back(loop)
                    raise
                finally:
                    with contextlib.suppress(ValueError):  # it was called up
                        line.remove(mine)
        return False

    def failed(self, *, probe: bool, reason: str = "") -> None:
        """Learn that a call was not answered."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self.away_since is None:
            self.away_since = now
        self._circuit.failed(now, probe=probe)
        was, self.shut = self.shut, self._circuit.state is not State.CLOSED
        if self.shut and not was:
            self._on_news(f"nobody answers ({reason}); what runs goes on, and what ends is told when somebody does")
        self._arm(loop)

    def answered(self) -> None:
        """Learn that somebody is there. Called when that is news: `away_since` says so."""
        loop = asyncio.get_running_loop()
        if self.shut and self.away_since is not None:
            self._on_news(f"answers again, after {loop.time() - self.away_since:.1f} s")
        self.away_since = None
        release = self._circuit.answered(loop.time())
        self.shut = False
        if release:
            waiting = [*self._lines[True], *self._lines[False]]
            for line in self._lines.values():
                line.clear()
            for mine, wait_s in zip(waiting, self._circuit.spread(len(waiting)), strict=True):
                loop.call_later(wait_s, _call_up, mine, False)  # noqa: FBT003 - what the future is told

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        """Come back when a pause is over. An earlier timer stays: it finds nothing due, and sets the next."""
        if self._timer is None and self.shut and self.waiting:
            self._timer = loop.call_at(self._circuit.until, self._due)

    def _due(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for line in self._lines.values():
            while line and line[0].done():  # called off, and has not left yet
                del line[0]
        line = self._lines[True] or self._lines[False]
        if line and self._circuit.due(loop.time()):
            _call_up(line.popleft(), True)  # noqa: FBT003 - what the future is told
        self._arm(loop)

    def _give_back(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the next one be the probe, at once: this one was called off before it began."""
        self._circuit.unused(loop.time())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._arm(loop)


def _call_up(mine: asyncio.Future[bool], probe: bool) -> None:  # noqa: FBT001 - what the future is told
    if not mine.done():
        mine.set_result(probe)
