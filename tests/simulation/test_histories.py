"""Histories drawn from seeds keep every promise, and a seed tells the same story each time."""

import pytest

from tests.simulation.history import play

EACH = 125
BLOCKS = range(0, 2000, EACH)
"""In blocks, so that test processes share them."""
MANY = range(2000, 102_000, 2000)


def keeps_every_promise(seeds: range) -> None:
    for seed in seeds:
        told = play(seed)
        assert not told.found, f"python -m tests.simulation {seed}\n\n{told.story}"


@pytest.mark.slow
@pytest.mark.parametrize("first", BLOCKS)
def test_a_history_keeps_every_promise(first: int) -> None:
    keeps_every_promise(range(first, first + EACH))


@pytest.mark.soak
@pytest.mark.parametrize("first", MANY)
def test_many_histories_keep_every_promise(first: int) -> None:
    keeps_every_promise(range(first, first + MANY.step))


@pytest.mark.slow
def test_a_seed_tells_the_same_story_again() -> None:
    for seed in range(40):
        assert str(play(seed).story) == str(play(seed).story)
