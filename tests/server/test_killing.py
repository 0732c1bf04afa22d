"""SIGKILL at random points under load loses no acknowledged write, and a restart continues every run."""

import uuid
from pathlib import Path

import pytest

from tests.server import postgres_server
from tests.server.killing import sweep


@pytest.mark.slow
def test_sqlite_keeps_its_word_when_its_server_is_killed(tmp_path: Path) -> None:
    assert sweep(str(tmp_path / "killed.db"), rounds=4, seed=1) > 0


@pytest.mark.slow
def test_postgres_keeps_its_word_when_its_server_is_killed() -> None:
    with postgres_server.schema(f"k{uuid.uuid4().hex}") as url:
        assert sweep(url, rounds=2, seed=2) > 0


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_sqlite_keeps_its_word_two_hundred_times(tmp_path: Path) -> None:
    assert sweep(str(tmp_path / "killed.db"), rounds=200, seed=3) > 0


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_postgres_keeps_its_word_fifty_times() -> None:
    with postgres_server.schema(f"k{uuid.uuid4().hex}") as url:
        assert sweep(url, rounds=50, seed=4) > 0
