"""Random input in two sizes: a few thousand cases in every run, many more in `make fuzz`."""

import os
from collections.abc import Callable
from typing import ParamSpec

import pytest
from hypothesis import settings

CASES = int(os.environ.get("TASKHAND_FUZZ_CASES", "2000"))
P = ParamSpec("P")


def fuzz(test: Callable[P, None]) -> Callable[P, None]:
    """Mark a hypothesis test as one that `make fuzz` runs for long. Write it above `@given`."""
    return pytest.mark.fuzz(settings(max_examples=CASES)(test))
