from collections.abc import Iterator

import pytest

from tests.system import leaving


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    """Whatever a test started and did not come to end is not there for the next one."""
    yield
    leaving.end_all()
