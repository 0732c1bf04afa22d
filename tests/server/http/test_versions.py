"""The version header over the wire."""

import pytest

from tests.server.http.live import RUNNING, Live

VERSION = "airflow-api-version"


@pytest.mark.parametrize("asked", ["2026-04-06", "2026-06-30", "2026-10-30", "2026-07-01", "2030-01-01"])
def test_a_served_version_is_echoed(server: Live, asked: str) -> None:
    answer = server.http.get("/execution/health/ping", headers={VERSION: asked})
    assert (answer.status_code, answer.headers[VERSION]) == (200, asked)


@pytest.mark.parametrize(("asked", "status"), [("2025-04-11", 404), ("tomorrow", 422), ("", 422), ("é", 422)])
def test_what_cannot_be_served_is_refused_with_a_reason(server: Live, asked: str, status: int) -> None:
    answer = server.http.get("/execution/health/ping", headers={VERSION.encode(): asked.encode("latin-1")})
    assert (answer.status_code, answer.json()["detail"]["reason"]) == (status, "version")
    assert answer.headers["content-type"] == "application/json"


def test_without_a_header_the_newest_is_served(server: Live) -> None:
    assert VERSION not in server.http.get("/execution/health/ping").headers
    assert "arg_bindings" in server.attempt().run()


def test_people_have_no_version(server: Live) -> None:
    assert server.people("GET", "/runs", headers={VERSION: "1970-01-01"}).status_code == 200


def test_an_older_client_gets_the_older_shape(server: Live) -> None:
    attempt = server.attempt(started=False)
    answer = attempt.own("PATCH", "run", json=RUNNING, headers={VERSION: "2026-06-30"})
    assert "arg_bindings" not in answer.json()
    assert "team_name" in answer.json()["dag_run"]
    where = f"/dag-runs/{attempt.ti['dag_id']}/{attempt.ti['run_id']}"
    assert "team_name" not in attempt.ask("GET", where, headers={VERSION: "2026-05-01"}).json()
    assert "team_name" in attempt.ask("GET", where).json()


def test_a_correlation_id_comes_back(server: Live) -> None:
    for path in ("/execution/health/ping", "/nothing", "/execution/variables/a"):
        assert server.http.get(path, headers={"correlation-id": "c-1"}).headers["correlation-id"] == "c-1"
    assert "correlation-id" not in server.http.get("/health", headers={"correlation-id": "c" * 201}).headers
