"""One process for each peer, for the whole run: importing Airflow takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.peers import VERSIONS, Peer


@pytest.fixture(scope="session", params=VERSIONS)
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """The peer's program."""
    with Peer(request.param, tmp_path_factory.mktemp(f"airflow-{request.param}")) as running:
        yield running


@pytest.fixture
def address(tmp_path: Path) -> str:
    """A path for a socket."""
    return str(tmp_path / "channel")
