"""Random input in two sizes: a few thousand cases in every run, many more in `make fuzz`."""

import os
from collections.abc import Callable
from typing import ParamSpec

import pytest
from hypothesis import settings

CASES = int(os.environ.get("TASKHAND_FUZZ_CASES", "2000"))
# A mark outweighs the command line's time-out, so it has to grow with the cases. A loaded machine draws 25 a second.
SECONDS = max(120, CASES // 25)
P = ParamSpec("P")


def fuzz(test: Callable[P, None]) -> Callable[P, None]:
    """Mark a hypothesis test as one that `make fuzz` runs for long. Write it above `@given`."""
    return pytest.mark.fuzz(pytest.mark.timeout(SECONDS)(settings(max_examples=CASES)(test)))
