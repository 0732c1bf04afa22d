"""Claims: work is given once, to whom it fits, at once when there is some."""

import socket
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import msgspec
import pytest

from tests.server.http.live import Live


def test_an_idle_worker_is_woken_by_work(server: Live) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.claim, "woken", 1, 25)
        began = monotonic()
        server.submit({"task_id": "t", "queue": "woken"})
        assert len(waiting.result(30)) == 1
        assert monotonic() - began < 5


def test_nothing_is_given_to_a_worker_that_hung_up(server: Live) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    content = msgspec.json.encode({"worker": "gone", "queues": ["hung-up"], "slots": 1, "wait_s": 25})
    with socket.create_connection((host, int(port))) as worker:
        worker.sendall(
            b"POST /execution/workloads/claim HTTP/1.1\r\nhost: x\r\nauthorization: %s\r\ncontent-length: %d\r\n\r\n%s"
            % (server.as_worker()["authorization"].encode(), len(content), content)
        )
        assert server.http.get("/health").status_code == 200  # by now the claim waits
    server.submit({"task_id": "t", "queue": "hung-up"})
    assert len(server.claim("hung-up", wait_s=5)) == 1


def test_nothing_to_do_is_said_in_time(server: Live) -> None:
    began = monotonic()
    assert server.claim("idle", wait_s=0.2) == []
    assert 0.15 < monotonic() - began < 5


def test_work_is_given_once(server: Live) -> None:
    flow = server.submit(*({"task_id": f"t{number}"} for number in range(40)))["dag_id"]
    with ThreadPoolExecutor(8) as pool:
        claims = [claim for claims in pool.map(lambda _: server.claim(flow, 5, 0.5), range(8)) for claim in claims]
    assert len({claim.id for claim in claims}) == len(claims) == 40


def test_only_what_fits_is_claimed_and_the_urgent_first(server: Live) -> None:
    tasks: list[dict[str, Any]] = [
        {"task_id": "low"},
        {"task_id": "high", "priority": 5},
        {"task_id": "go", "runtime": "go"},
        {"task_id": "other", "queue": "elsewhere"},
    ]
    flow = server.submit(*tasks)["dag_id"]
    assert [claim.ti["task_id"] for claim in server.claim(flow, 1)] == ["high"]
    assert [claim.ti["task_id"] for claim in server.claim(flow, 5, runtimes=["python"])] == ["low"]
    assert [claim.ti["task_id"] for claim in server.claim(flow, 5, runtimes=["go"])] == ["go"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"worker": "w", "queues": [], "slots": 1},
        {"worker": "w", "queues": ["q"], "slots": 0},
        {"worker": "w", "queues": ["q"], "slots": 10**9},
        {"worker": "w", "queues": ["q"], "slots": 1, "wait_s": 1e9},
        {"worker": "w", "queues": ["q"], "slots": 1, "import": "os"},
        [],
        "claim",
    ],
)
def test_an_absurd_claim_is_refused(server: Live, body: Any) -> None:
    answer = server.http.post("/execution/workloads/claim", json=body, headers=server.as_worker())
    assert answer.status_code == 422
    assert {"type", "loc", "msg"} <= answer.json()["detail"][0].keys()
