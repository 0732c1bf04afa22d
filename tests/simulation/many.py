"""Many histories, on all cores: in blocks, until all are played or one went wrong.

Blocks are looked at in their order, so that the bad seed which is told of is the first one, whoever was faster.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context

from msgspec import Struct, field

from tests.simulation.history import play

BLOCK = 250
AHEAD = 4
"""Blocks that are given out for each core: a failure is not to leave hours of work behind it."""
TELL_EVERY_S = 20.0


class Tally(Struct):
    """What was played."""

    histories: int = 0
    steps: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    bad: int | None = None
    """The first seed that went wrong."""
    story: str = ""
    """Of that one: what happened, what was found, and how it is played again."""

    def add(self, other: "Tally") -> None:
        """Add what was played elsewhere."""
        self.histories += other.histories
        self.steps += other.steps
        self.injected += other.injected
        self.checked += other.checked
        if self.bad is None:
            self.bad, self.story = other.bad, other.story

    def __str__(self) -> str:
        faults, checks = self.injected.total(), self.checked.total()
        return (
            f"{self.histories} histories, {self.steps} steps, {faults} faults ({_listed(self.injected)}), "
            f"{checks} checks of {len(self.checked)} invariants ({_listed(self.checked)})"
        )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def block(first: int, count: int) -> Tally:
    """Play some, in this process."""
    tally = Tally()
    for seed in range(first, first + count):
        told = play(seed)
        tally.add(Tally(1, told.steps, told.injected, told.checked))
        if told.found:
            found = "\n".join(told.found)
            tally.bad = seed
            tally.story = f"{told.story}\n\nseed {seed}: {found}\npython -m tests.simulation {seed}"
            break
    return tally


def many(first: int, count: int, tell: Callable[[str], None] = lambda _: None) -> Tally:
    """Play many, on all cores, and say how far it is now and then."""
    total, began = Tally(), time.monotonic()
    last = began
    ends = first + count
    blocks = ((seed, min(BLOCK, ends - seed)) for seed in range(first, ends, BLOCK))
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        for tally in _in_order(pool, blocks, cores * AHEAD):
            total.add(tally)
            now = time.monotonic()
            if now - last >= TELL_EVERY_S:
                last = now
                tell(f"{total.histories} of {count} histories after {now - began:.0f} s: all is well")
            if total.bad is not None:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    return total


def _in_order(pool: ProcessPoolExecutor, blocks: Iterator[tuple[int, int]], ahead: int) -> Iterator[Tally]:
    waiting: list[Future[Tally]] = [pool.submit(block, *each) for each in islice(blocks, ahead)]
    while waiting:
        yield waiting.pop(0).result()
        waiting += [pool.submit(block, *each) for each in islice(blocks, 1)]
