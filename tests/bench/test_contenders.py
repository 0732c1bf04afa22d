"""Who cannot be measured here is left out with its reason, and the others are measured without it."""

import sys
from pathlib import Path

import pytest

from bench.contenders import OURS, RQ, Contender, Venue, started
from bench.harness import Row
from bench.peers import row


def test_whoever_needs_a_broker_is_left_out_where_there_is_none(tmp_path: Path) -> None:
    here = Contender("queue", Path(sys.executable), "on_rq", (), needs_broker=True)
    assert Venue("http://x", None, tmp_path).absent(here) == "no redis-server on this machine"
    assert Venue("http://x", "redis+socket:///x", tmp_path).absent(here) is None
    assert Venue("http://x", None, tmp_path).absent(OURS) is None


def test_whoever_is_not_installed_is_left_out(tmp_path: Path) -> None:
    nowhere = Contender("queue", tmp_path / "python", "on_rq")
    assert "tools/interop.sh" in str(Venue("http://x", "redis+socket:///x", tmp_path).absent(nowhere))


def test_a_row_has_the_peers_that_were_measured() -> None:
    found = {OURS: [1.0, 3.0, 2.0]}
    assert row("n", "ms", (OURS, (RQ,)), found, None) == Row("n", "ms", 2.0, {}, None, 3, 1.0)
    assert row("n", "ms", (OURS, (RQ,)), found | {RQ: [8.0]}, 0.5).peers == {RQ.name: 8.0}


@pytest.mark.slow
def test_a_driver_that_breaks_is_said_with_what_it_wrote(tmp_path: Path) -> None:
    broken = Contender("broken", Path(sys.executable), "nothing_of_this_name")
    with pytest.raises(AssertionError, match="No module named"), started(broken, Venue("u", None, tmp_path), 1):
        pass
