"""Logs: uploaded in chunks, read in ranges, followed."""

from datetime import UTC, datetime
from threading import Thread

import pytest

from tests.server.http.live import LONG_GONE, Live


def read(server: Live, ti_id: str, **query: float) -> tuple[bytes, int, bool]:
    answer = server.people("GET", f"/task-instances/{ti_id}/log", params=query)
    assert answer.status_code == 200, answer.text
    return answer.content, int(answer.headers["taskhand-log-next"]), answer.headers["taskhand-log-complete"] == "true"


def test_a_chunk_may_come_twice_and_none_is_skipped(server: Live) -> None:
    attempt = server.attempt()
    for offset, chunk in [(0, b"one\n"), (0, b"one\n"), (2, b"e\ntwo\n")]:
        assert attempt.own("PUT", f"log?offset={offset}", content=chunk).status_code == 204
    gap = attempt.own("PUT", "log?offset=9", content=b"gap")
    assert (gap.status_code, gap.json()["detail"]["reason"], gap.json()["detail"]["expected"]) == (409, "log_gap", 8)
    assert read(server, attempt.id) == (b"one\ntwo\n", 8, False)
    assert read(server, attempt.id, offset=4, limit=2) == (b"tw", 6, False)
    assert read(server, attempt.id, offset=100) == (b"", 100, False)
    attempt.end("success")
    assert read(server, attempt.id, limit=4) == (b"one\n", 4, False)
    assert read(server, attempt.id) == (b"one\ntwo\n", 8, True)


def test_the_rest_of_a_log_is_taken_after_the_end(server: Live) -> None:
    attempt = server.attempt({"task_id": "t/../../x", "retries": 1, "retry_delay_s": 0})
    attempt.end("up_for_retry")
    second = server.claim(attempt.ti["dag_id"])[0]
    assert attempt.own("PUT", "log?offset=0", content=b"bye\xff\n").status_code == 204
    assert read(server, attempt.id) == (b"bye\xff\n", 5, True)
    assert read(server, second.id) == (b"", 0, False)


def test_a_log_is_followed(server: Live) -> None:
    attempt = server.attempt()
    heard: list[tuple[bytes, int, bool]] = []
    reader = Thread(target=lambda: heard.append(read(server, attempt.id, wait_s=20)))
    reader.start()
    attempt.own("PUT", "log?offset=0", content=b"news\n")
    reader.join(30)
    assert heard == [(b"news\n", 5, False)]


def test_what_comes_after_the_end_is_followed_too(server: Live) -> None:
    attempt = server.attempt()
    attempt.own("PUT", "log?offset=0", content=b"one\n")
    attempt.end("success", end_date=datetime.now(UTC).isoformat())
    assert read(server, attempt.id, wait_s=20) == (b"one\n", 4, False)
    heard: list[tuple[bytes, int, bool]] = []
    reader = Thread(target=lambda: heard.append(read(server, attempt.id, offset=4, wait_s=20)))
    reader.start()
    attempt.own("PUT", "log?offset=4", content=b"last\n")
    reader.join(30)
    assert heard == [(b"last\n", 9, False)]
    assert read(server, attempt.id, offset=9, wait_s=0.1) == (b"", 9, True)
    assert read(server, attempt.id, offset=9) == (b"", 9, True)


@pytest.mark.parametrize("query", ["", "?offset=-1", "?offset=x"])
def test_an_offset_is_a_number(server: Live, query: str) -> None:
    attempt = server.attempt()
    assert attempt.own("PUT", f"log{query}", content=b"x").status_code == 422
    assert read(server, attempt.id) == (b"", 0, False)


def test_a_chunk_is_bounded(server: Live) -> None:
    attempt = server.attempt()
    answer = attempt.own("PUT", "log?offset=0", content=b"x" * (17 * 1024 * 1024))
    assert (answer.status_code, answer.json()["detail"]["reason"]) == (413, "too_large")
    assert read(server, attempt.id) == (b"", 0, False)
    assert server.people("GET", f"/task-instances/{LONG_GONE}/log").status_code == 404
