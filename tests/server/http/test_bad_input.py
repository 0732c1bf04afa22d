"""What nobody should send: a clear 4xx with a reason, nothing written, and never a 5xx."""

import socket
from typing import Any

import pytest

from tests.server.http.live import BEAT, RUNNING, WHEN, Attempt, Live

DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.fixture(scope="module")
def attempt(server: Live) -> Attempt:
    return server.attempt()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nil",
        b"\xff\xfe",
        b'{"state": "success", "end_date": "2026',
        b'"success"',
        b"[]",
        b"null",
        b"{}",
        b'{"state": null}',
        b'{"state": "queued"}',
        b'{"state": "running"}',
        b'{"state": "success"}',
        b'{"state": "success", "end_date": null}',
        b'{"state": "success", "end_date": "yesterday"}',
        b'{"state": "success", "end_date": "2026-01-01T00:00:00"}',
        b'{"state": "success", "end_date": "99999-01-01T00:00:00Z"}',
        b'{"state": "success", "end_date": "2026-01-01T00:00:00Z", "extra": 1}',
        b'{"state": "up_for_retry", "end_date": "2026-01-01T00:00:00Z", "retry_delay_seconds": -1}',
        b'{"state": "up_for_retry", "end_date": "2026-01-01T00:00:00Z", "retry_delay_seconds": 1e300}',
        b'{"state": "deferred", "classpath": "", "next_method": "m"}',
        b'{"state": "deferred", "classpath": "os.system", "next_method": "m", "trigger_timeout": "never"}',
        DEEP,
    ],
)
def test_an_outcome_that_is_none_changes_nothing(server: Live, attempt: Attempt, body: bytes) -> None:
    answer = attempt.own("PATCH", "state", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text[:300]
    assert {"type", "loc", "msg"} <= answer.json()["detail"][0].keys()
    assert answer.headers["content-type"] == "application/json"
    assert server.state_of(attempt.id) == "running"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("run", RUNNING | {"pid": 2**70}),
        ("run", RUNNING | {"pid": "one"}),
        ("run", RUNNING | {"hostname": "h" * 100_000}),
        ("run", {key: value for key, value in RUNNING.items() if key != "unixname"}),
        ("heartbeat", BEAT | {"pid": None}),
        ("heartbeat", BEAT | {"surplus": 1}),
        ("rtif", []),
        ("rendered-map-index", {"a": 1}),
        ("skip-downstream", {"tasks": [["a"]]}),
        ("skip-downstream", {"tasks": "a"}),
        ("checkpoint", {"seq": 1}),
        ("checkpoint", {"blob": {"uri": "u", "sha256": "x", "size": 1}}),
        ("checkpoint", {"progress": "half"}),
    ],
)
def test_a_body_that_does_not_fit(attempt: Attempt, path: str, body: Any) -> None:
    method = "PUT" if path in {"heartbeat", "rtif", "checkpoint"} else "PATCH"
    assert attempt.own(method, path, json=body).status_code == 422


@pytest.mark.parametrize(
    "ti_id", ["x", "1", "%00", "..%2F..", "01890000-0000-7000-8000-00000000000g", "x" * 3000, "%ff"]
)
def test_an_id_that_is_none(attempt: Attempt, ti_id: str) -> None:
    answer = attempt.ask("PUT", f"/task-instances/{ti_id}/heartbeat", json=BEAT)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["path", "ti_id"]


@pytest.mark.parametrize(
    "path",
    [
        "/variables/%00",
        "/variables/%ff%fe",
        f"/variables/{'x' * 2001}",
        "/variables/keys?limit=0",
        "/variables/keys?limit=x",
        "/variables/keys?offset=99999999999999999999",
        "/task-instances/count",
        "/task-instances/count?dag_id=d&map_index=x",
        "/task-instances/count?dag_id=d&logical_dates=never",
        "/task-instances/count?dag_id=d&logical_dates=2026-01-01T00:00:00",
        "/task-instances/previous/d/t?state=lost",
        "/dag-runs/previous?dag_id=d",
        "/xcoms/d/r/t/k?map_index=-2",
        "/xcoms/d/r/t/k?include_prior_dates=perhaps",
        "/asset-events/by-asset?name=x&limit=0",
    ],
)
def test_a_query_or_a_key_that_does_not_fit(attempt: Attempt, path: str) -> None:
    answer = attempt.ask("GET", path)
    assert answer.status_code == 422, answer.text[:300]
    assert {"type", "loc", "msg"} <= answer.json()["detail"][0].keys()


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/execution/nothing/at/all", 404, "not_found"),
        ("GET", "/execution/variables/", 404, "not_found"),
        ("GET", "/execution//variables//a", 401, None),
        ("POST", "/execution/health", 405, "method_not_allowed"),
        ("DELETE", "/api/runs", 405, "method_not_allowed"),
        ("TRACE", "/health", 405, "method_not_allowed"),
        ("GET", "/execution/xcoms/d/r/t/k/item/one", 401, None),
    ],
)
def test_a_path_that_leads_nowhere(server: Live, method: str, path: str, status: int, reason: str | None) -> None:
    answer = server.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    if reason:
        assert answer.json()["detail"]["reason"] == reason


def test_a_body_is_bounded_also_when_its_length_is_not_said(attempt: Attempt) -> None:
    def chunks() -> Any:
        for _ in range(18):
            yield b" " * 1024 * 1024

    for content in (b'"' + b"x" * (17 * 1024 * 1024) + b'"', chunks()):
        answer = attempt.ask("POST", attempt.xcom(), content=content)
        assert (answer.status_code, answer.json()["detail"]["reason"]) == (413, "too_large")
        assert answer.json()["detail"]["message"] == "the body is longer than 16777216 bytes, the limit"
    assert attempt.ask("GET", attempt.xcom()).status_code == 404


def test_a_value_above_the_limit_is_refused_and_not_written(attempt: Attempt) -> None:
    for path, body in [
        (attempt.xcom("big"), "x" * (2 * 1024 * 1024)),
        (f"/task-instances/{attempt.id}/checkpoint", {"data": "x" * 200_000}),
        (f"/store/ti/{attempt.id}/big", {"value": "x" * (2 * 1024 * 1024)}),
    ]:
        answer = attempt.ask("POST" if path.startswith("/xcoms") else "PUT", path, json=body)
        assert (answer.status_code, answer.json()["detail"]["reason"]) == (413, "too_large"), path
    assert attempt.ask("GET", attempt.xcom("big")).status_code == 404
    assert attempt.own("GET", "checkpoint").json()["checkpoint"] is None


def test_nothing_a_client_names_is_imported(server: Live) -> None:
    attempt = server.attempt()
    named = {"classpath": "tests.server.http.trap", "next_method": "x", "trigger_kwargs": {"__class__": "os.system"}}
    assert attempt.end("deferred", **named).status_code == 204
    other = server.attempt()
    outlets = [{"type": "os.system", "name": "a", "uri": "u"}]
    told = [{"dest_asset_key": "not a key"}, {}]
    answer = other.end("success", end_date=WHEN, task_outlets=outlets, outlet_events=told)
    assert answer.status_code in {204, 422}


def test_lone_surrogates_and_huge_numbers(attempt: Attempt) -> None:
    for body in (b'"\\ud800"', b"1" * 5000, b"1e999", b"-1e999", b'{"a": 1, "a": 2}'):
        answer = attempt.ask("POST", attempt.xcom("odd"), content=body)
        assert answer.status_code in {201, 422}, (body[:20], answer.status_code, answer.text[:200])
        assert attempt.ask("GET", attempt.xcom("odd")).status_code in {200, 404}


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /execution/workloads/claim HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /execution/workloads/claim HTTP/1.1\r\nhost: x\r\ncontent-length: abc\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
    ],
)
def test_what_is_hardly_http_hurts_nobody(server: Live, raw: bytes) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        try:
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(1000)
        except ConnectionError:
            answer = b""
    assert not answer.startswith(b"HTTP/1.1 5")
    assert server.http.get("/health").status_code == 200


def test_a_fault_names_the_part_of_the_request_it_is_in(server: Live) -> None:
    def places(answer: Any) -> list[Any]:
        assert answer.status_code == 422
        return [fault["loc"] for fault in answer.json()["detail"]]

    assert places(server.people("GET", "/task-instances?limit=0")) == [["query", "limit"]]
    assert places(server.people("POST", "/pools", json={"name": "p", "slots": "x"})) == [["body", "slots"]]
    assert places(server.people("POST", "/pools", json={"name": "p"})) == [["body", "slots"]]
    assert places(server.people("POST", "/pools", content=b"{")) == [["body"]]
    assert places(server.people("POST", "/pools")) == [["body"]]
