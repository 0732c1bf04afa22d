"""Histories drawn from seeds keep every promise, and a seed tells the same story each time."""

import pytest

from tests.simulation.history import play
from tests.simulation.many import block, many

EACH = 125
BLOCKS = range(0, 2000, EACH)
"""In blocks, so that test processes share them."""
MANY = 100_000


@pytest.mark.slow
@pytest.mark.parametrize("first", BLOCKS)
def test_a_history_keeps_every_promise(first: int) -> None:
    tally = block(first, EACH)
    assert tally.bad is None, tally.story


@pytest.mark.soak
def test_many_histories_keep_every_promise(capfd: pytest.CaptureFixture[str]) -> None:
    """On all cores, and with a word now and then of how far it is."""

    def say(what: str) -> None:
        with capfd.disabled():
            print(what, flush=True)  # noqa: T201 - whoever waits for minutes wants to know

    tally = many(BLOCKS.stop, MANY, say)
    say(tally.story or str(tally))
    assert tally.bad is None, tally.story


@pytest.mark.slow
def test_a_seed_tells_the_same_story_again() -> None:
    for seed in range(20):
        assert str(play(seed).story) == str(play(seed).story)
