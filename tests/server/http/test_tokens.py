"""Who is let in: every route, with every kind of token."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.tokens import Scope
from tests.server.http.live import BEAT, LONG_GONE, RUNNING, Attempt, Live, serving

OPEN = {"/health", "/metrics", "/execution/health", "/execution/health/ping"}
OWN = "/execution/task-instances/{ti_id}"
FILLED = {"{ti_id}": LONG_GONE, "{offset}": "0"}


def routes(server: Live) -> list[tuple[str, str]]:
    paths = server.http.get("/schema").json()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods if path not in OPEN]


def filled(path: str) -> str:
    for name, value in FILLED.items():
        path = path.replace(name, value)
    for name in ("dag_id", "run_id", "task_id", "key", "conn_id"):
        path = path.replace(f"{{{name}}}", "x")
    return path


def asked(server: Live, method: str, path: str, token: str | None) -> Any:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return server.http.request(method, filled(path), headers=headers, json={})


def scope_of(method: str, path: str) -> set[Scope]:
    if path.startswith("/api"):
        return {Scope.USER}
    if path.endswith("/claim"):
        return {Scope.WORKER}
    return {Scope.EXECUTION, Scope.WORKLOAD} if (method, path) == ("PATCH", f"{OWN}/run") else {Scope.EXECUTION}


def test_no_route_is_open_by_mistake(server: Live) -> None:
    for method, path in routes(server):
        answer = asked(server, method, path, None)
        assert answer.status_code == 401, (method, path)
        if method != "HEAD":
            assert answer.json() == {"detail": "Missing auth token"}, (method, path)


def test_each_route_takes_its_scopes_and_no_other(server: Live) -> None:
    tokens = {scope: server.mint(scope, LONG_GONE, life=600) for scope in Scope}
    for method, path in routes(server):
        for scope, token in tokens.items():
            allowed = scope in scope_of(method, path)
            status = asked(server, method, path, token).status_code
            assert (status != 403) is allowed, (method, path, scope, status)
            assert status != 401, (method, path)


def test_an_attempts_token_fits_no_other_attempt(server: Live) -> None:
    token = server.mint(Scope.EXECUTION, "01890000-0000-7000-8000-000000000001")
    for method, path in routes(server):
        if "{ti_id}" in path and path.startswith("/execution"):
            assert asked(server, method, path, token).status_code == 403, (method, path)


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YTpi", "bearer x", "Bearer é", "Bearer " + "x" * 9000])
def test_what_is_no_token_is_refused(server: Live, header: str) -> None:
    answer = server.http.get("/execution/variables/a", headers={b"authorization": header.encode("latin-1")})
    assert answer.status_code in {401, 403}
    assert answer.json()["detail"] in {"Missing auth token", "Invalid auth token"}
    assert answer.headers["content-type"] == "application/json"


def test_an_old_token_is_refused(server: Live) -> None:
    past = datetime.now(UTC) - timedelta(seconds=700)
    token = server.mint(Scope.EXECUTION, LONG_GONE, now=past)
    assert asked(server, "GET", "/execution/variables/a", token).json() == {"detail": "Invalid auth token"}


def expired(server: Live, attempt: Attempt, fence: int | None = 1) -> None:
    more = {} if fence is None else {"fence": fence}
    attempt.token = server.mint(Scope.EXECUTION, attempt.id, now=datetime.now(UTC) - timedelta(hours=9), **more)


@pytest.mark.parametrize("first", ["heartbeat", "question", "end"])
def test_a_token_whose_time_is_over_is_as_good_as_its_claim(server: Live, first: str) -> None:
    """The server was away for longer than a token lives; the attempt runs, and is heard again."""
    attempt = server.attempt()
    expired(server, attempt)
    answers = {
        "heartbeat": lambda: attempt.own("PUT", "heartbeat", json=BEAT),
        "question": lambda: attempt.ask("PUT", f"/variables/{attempt.id}", json={"val": "v"}),
        "end": lambda: attempt.end("success"),
    }
    answer = answers[first]()
    assert answer.status_code in {201, 204}
    claims = server.tokens.verify(answer.headers["refreshed-api-token"], datetime.now(UTC))
    assert (claims.scope, claims.sub, claims.fence) == (Scope.EXECUTION, attempt.id, 1)


def test_a_last_word_is_taken_or_known_although_its_time_is_over_and_gives_no_token(server: Live) -> None:
    attempt = server.attempt()
    attempt.end("success")
    expired(server, attempt)
    for answer, status in (
        (attempt.end("success"), 200),
        (attempt.end("failed"), 409),
        (attempt.own("PUT", "heartbeat", json=BEAT), 409),
        (attempt.ask("GET", "/variables/keys"), 403),
    ):
        assert answer.status_code == status
        assert "refreshed-api-token" not in answer.headers


def test_a_claim_that_is_over_makes_no_token_good(server: Live) -> None:
    attempt = server.attempt({"task_id": "t", "retries": 1})
    for fence, statuses in ((0, (409, 409, 403)), (None, (403, 403, 403))):
        expired(server, attempt, fence)
        answers = [
            attempt.own("PUT", "heartbeat", json=BEAT),
            attempt.end("success"),
            attempt.ask("GET", "/variables/keys"),
        ]
        assert tuple(answer.status_code for answer in answers) == statuses
    server.people("POST", f"/task-instances/{attempt.id}/kill", json={})
    expired(server, attempt)
    assert attempt.end("success").status_code == 409
    assert attempt.end("server_terminated").status_code in {200, 204}


def test_a_workload_token_is_swapped_at_run_and_only_starts(server: Live) -> None:
    attempt = server.attempt(started=False)
    workload = attempt.token
    assert attempt.own("PUT", "heartbeat", json={}).status_code == 403
    answer = attempt.own("PATCH", "run", json=RUNNING)
    claims = server.tokens.verify(answer.headers["refreshed-api-token"], datetime.now(UTC))
    assert (claims.scope, claims.sub, claims.fence) == (Scope.EXECUTION, attempt.id, 1)
    attempt.token = workload
    assert "refreshed-api-token" in attempt.own("PATCH", "run", json=RUNNING).headers


def test_a_refused_run_gives_no_token(server: Live) -> None:
    attempt = server.attempt(started=False)
    workload = attempt.token
    attempt.run()
    attempt.end("success")
    attempt.token = workload
    answer = attempt.own("PATCH", "run", json=RUNNING)
    assert answer.status_code == 409
    assert "refreshed-api-token" not in answer.headers


@pytest.mark.parametrize(("left", "comes"), [(300, False), (100, True)])
def test_a_token_with_little_life_is_renewed_on_any_answer(server: Live, left: float, comes: int) -> None:
    token = server.mint(Scope.EXECUTION, LONG_GONE, now=datetime.now(UTC) - timedelta(seconds=600 - left))
    for path in ("/execution/variables/absent", "/execution/variables/keys"):
        answer = asked(server, "GET", path, token)
        assert ("refreshed-api-token" in answer.headers) == comes


def test_the_secret_outlives_the_server(home: Path) -> None:
    with serving(home) as server:
        attempt = server.attempt()
    with serving(home) as again:
        attempt.server = again
        assert attempt.end("success").status_code == 204
    mode = {file.name: file.stat().st_mode & 0o777 for file in home.iterdir() if "token" in file.name}
    assert mode == {"worker-token": 0o600, "user-token": 0o600}
