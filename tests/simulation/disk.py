"""A worker's disk: segments as bytes, and who writes to them beside the loop.

A process that is killed leaves what it had written, torn where the kill came in the middle of a write; a machine that
loses its power leaves what was synced, and perhaps more. A disk may be full for a while.
"""

import errno
from collections.abc import Callable

from tests.simulation.loop import SimLoop
from tests.simulation.world import World

SYNC_S = 0.004
TORN = 12


class Disk:
    """As `supervisor.journal_files.Disk`. It outlives everybody."""

    def __init__(self, world: World, name: str) -> None:
        self.full_until = 0.0
        self.failed = False
        """Whether something could not be written since the last worker began."""
        self._world = world
        self._name = name
        self._segments: dict[int, bytearray] = {}
        self._synced: dict[int, int] = {}

    def __str__(self) -> str:
        return self._name

    def numbers(self) -> list[int]:
        return sorted(self._segments)

    def content(self, number: int) -> bytes:
        return bytes(self._segments[number])

    def create(self, number: int) -> int:
        self._check()
        self._segments[number] = bytearray()
        self._synced[number] = 0
        return number

    def write(self, segment: int, data: memoryview) -> int:
        self._check()
        self._segments[segment] += data
        return len(data)

    def sync(self, segment: int) -> None:
        self._check()
        self._synced[segment] = len(self._segments[segment])

    def close(self, segment: int) -> None:
        """Nothing is kept open."""

    def remove(self, number: int) -> None:
        self._segments.pop(number, None)
        self._synced.pop(number, None)

    def settle(self) -> None:
        self._check()

    def _check(self) -> None:
        if self._world.now < self.full_until:
            self.failed = True
            raise OSError(errno.ENOSPC, "No space left on device")

    def cut(self, *, power: bool) -> None:
        """Its writer was killed, or its machine lost its power: some of what was not synced is gone."""
        for number, data in self._segments.items():
            synced = self._synced[number]
            lost = self._world.random.randint(0, len(data) - synced) if power else 0
            if lost:
                del data[len(data) - lost :]
                self._world.nature.tell(f"the tail of {self._name}'s journal is torn: {lost} bytes")


class Hand:
    """As `supervisor.journal_writer.Hand`: one thing after the other, each some moments after it was asked for."""

    def __init__(self, loop: SimLoop, world: World) -> None:
        self._loop = loop
        self._world = world
        self._free_at = 0.0

    def do(self, work: Callable[[], None]) -> None:
        self._free_at = max(self._free_at, self._world.now) + self._world.between(0, SYNC_S)
        self._loop.call_at(self._free_at, work)

    async def stop(self) -> None:
        """What is asked for is done at its moment."""
