"""Two servers over one PostgreSQL: whichever is asked, it is one server."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.server import postgres_server
from tests.server.http.live import BEAT, Live, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Live, Live]]:
    (tmp_path / "secret").write_text("s" * 64)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with postgres_server.schema(f"h{uuid.uuid4().hex}") as url:
        arguments = ("--db", url, "--secret-file", str(tmp_path / "secret"))
        with serving(tmp_path / "a" / "home", *arguments) as a, serving(tmp_path / "b" / "home", *arguments) as b:
            yield a, b


def test_an_attempt_goes_from_one_to_the_other(two: tuple[Live, Live]) -> None:
    a, b = two
    run = a.submit({"task_id": "t"}, {"task_id": "u", "upstreams": ["t"]})
    attempt = b.claim(run["dag_id"])[0]
    attempt.run()
    attempt.server = a
    assert attempt.own("PUT", "heartbeat", json=BEAT).status_code == 204
    assert attempt.own("PUT", "checkpoint", json={"data": {"step": 1}}).json()["seq"] == 1
    assert attempt.end("success").status_code == 204
    attempt.server = b
    assert attempt.end("success").status_code == 200
    assert [each.ti["task_id"] for each in b.claim(run["dag_id"])] == ["u"]
    assert a.people("GET", f"/flows/{run['dag_id']}/runs/{run['run_id']}").json()["counts"]["success"] == 1


def test_what_one_queues_wakes_who_waits_at_the_other(two: tuple[Live, Live]) -> None:
    a, b = two
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(b.claim, "across", 1, 25)
        a.submit({"task_id": "t", "queue": "across"})
        assert len(waiting.result(30)) == 1
