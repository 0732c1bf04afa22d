"""The simulation finds what it is there to find: each planted bug, within the histories of a normal run."""

from collections.abc import Callable

import pytest

from tests.simulation.bugs import BUGS, Change, planted
from tests.simulation.history import play

WITHIN = 2000
RARE = {"every_conflict_is_our_own_doing": 1507, "leases_end_while_the_server_is_deaf": 1612}
"""Where the search begins for what few histories find: a number that is no longer right only makes it longer."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(
    bug: Callable[[], list[Change]], record_property: Callable[[str, object], None]
) -> None:
    with planted(bug):
        first = RARE.get(bug.__name__, 0)
        for seed in (*range(first, WITHIN), *range(first)):
            told = play(seed)
            if told.found:
                record_property("seed", seed)
                print(f"{bug.__name__}: found by seed {seed}: {told.found[0]}")  # noqa: T201 - shown by `pytest -rP`
                return
    pytest.fail(f"none of {WITHIN} histories found that {bug.__name__.replace('_', ' ')}")
