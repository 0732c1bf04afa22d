"""One server for all tests of a process: each makes its own flows, so they do not meet."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.http.live import Live, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("server") / "home") as live:
        yield live
    log = (live.home.parent / "server.log").read_text()
    assert "Traceback" not in log, log


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"
