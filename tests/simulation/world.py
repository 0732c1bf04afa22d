"""The clock, chance, and who is next.

Everything that happens is a step: at a moment, of a party. Steps of the same moment happen in the order in which they
were asked for, so a seed tells all. A party that has died takes no steps any more; what it had asked for is dropped,
as its memory would be.
"""

import heapq
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from tests.simulation.story import Story

DAWN = datetime(2026, 1, 1, tzinfo=UTC)


class Died(BaseException):
    """The process ends here. No `except Exception` hears of it, and what a `finally` does reaches nobody."""


class Party:
    """Somebody who may die: a process, or a machine's part."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.skew_s = 0.0
        """How far the clock on its wall is from the true one."""

    def tell(self, what: str) -> None:
        """Add a line to the story."""
        self.world.story.tell(self.world.now, self.name, what)

    def later(self, delay_s: float, step: Callable[[], None]) -> None:
        """Do something after a while, if still alive."""
        self.world.at(self.world.now + delay_s, self, step)


class World:
    """One history."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)  # noqa: S311 - no secret depends on it
        self.now = 0.0
        self.steps = 0
        self.story = Story()
        self.acting = self.nature = Party(self, "world")
        """Whose step this is, and who acts when nobody does."""
        self.running: object = None
        """The loop that asyncio believes to be running; whoever runs next changes it."""
        self.faults: list[Exception] = []
        """What our own code raised where nobody expected it."""
        self.interrupted: BaseException | None = None
        """Who wants the whole history to end, as a test's time-out does."""
        self._ready: deque[tuple[Party, Callable[[], None]]] = deque()
        self._later: list[tuple[float, int, Party, Callable[[], None]]] = []
        self._asked = 0

    def at(self, moment: float, party: Party, step: Callable[[], None]) -> None:
        """Have a party do something at a moment."""
        if moment <= self.now:
            self._ready.append((party, step))
        else:
            self._asked += 1
            heapq.heappush(self._later, (moment, self._asked, party, step))

    def soon(self, party: Party, step: Callable[[], None]) -> None:
        """Have a party do something next."""
        self._ready.append((party, step))

    def fault(self, error: BaseException) -> None:
        """Note what was raised where nobody expected it."""
        if isinstance(error, Exception):
            self.faults.append(error)
        else:
            self.interrupted = error

    def step(self) -> bool:
        """Let the next thing happen. False when nothing is left to happen."""
        if not self._ready:
            if not self._later:
                return False
            self.now, _, party, step = heapq.heappop(self._later)
        else:
            party, step = self._ready.popleft()
        self.steps += 1
        if party.alive:
            self.acting = party
            try:
                step()
            finally:
                self.acting = self.nature
            if self.interrupted is not None:
                raise self.interrupted
        return True

    def chance(self, share: float) -> bool:
        """Say yes so often."""
        return share > 0.0 and self.random.random() < share

    def between(self, least: float, most: float) -> float:
        """Give some number of these."""
        return least + (most - least) * self.random.random()

    @property
    def wall(self) -> datetime:
        """What the clock on the wall of who acts says."""
        return DAWN + timedelta(seconds=self.now + self.acting.skew_s)
