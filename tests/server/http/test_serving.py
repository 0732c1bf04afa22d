"""The server as a process: readiness, addresses, endings, health."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import msgspec
import pytest

from server.serving import is_loopback
from tests.server.http.live import BEAT, Live, serving


def worker(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "supervisor", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, **more},
    )


def test_it_is_ready_when_it_says_so(home: Path) -> None:
    with serving(home) as server:
        assert httpx.get(f"{server.url}/health").json() == {"status": "healthy"}
        assert (home / "server-url").read_text() == f"{server.url}\n"
        assert server.http.get("/execution/health").json() == {"status": "healthy"}
        assert server.http.get("/execution/health/ping").json() == {"ok": ["server"], "failing": {}}


def test_a_descriptor_and_systemd_are_told_too(home: Path) -> None:
    read, write = os.pipe()
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(str(home.parent / "notify"))
    process = subprocess.Popen(
        [sys.executable, "-m", "supervisor", "server", "--port", "0", "--home", str(home), "--ready-fd", str(write)],
        pass_fds=[write],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "NOTIFY_SOCKET": str(home.parent / "notify")},
    )
    os.close(write)
    try:
        assert os.read(read, 10) == b"\n"
        assert os.read(read, 10) == b""
        assert systemd.recv(100) == b"READY=1"
    finally:
        process.terminate()
        assert process.wait(30) == 0
        os.close(read)
        systemd.close()


def test_a_port_that_is_taken_is_said(server: Live, home: Path) -> None:
    port = server.url.rpartition(":")[2]
    result = worker("server", "--port", port, "--home", str(home))
    assert (result.returncode, port in result.stderr, "--port 0" in result.stderr) == (2, True, True)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("db", "said"), [("mysql://x/y", "no database we know"), ("/no/such/folder/x.db", "/no/such/folder")]
)
def test_a_database_that_cannot_be_had_is_said(home: Path, db: str, said: str) -> None:
    result = worker("server", "--port", "0", "--home", str(home), "--db", db)
    assert (result.returncode, said in result.stderr) == (2, True), result.stderr


def test_it_ends_well_while_a_worker_waits(home: Path) -> None:
    with serving(home) as server:
        body = {"worker": "w", "queues": ["q"], "slots": 1, "wait_s": 30}
        waiting = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
        content = msgspec.json.encode(body)
        token = server.as_worker()["authorization"]
        waiting.sendall(
            b"POST /execution/workloads/claim HTTP/1.1\r\nhost: x\r\nauthorization: %s\r\ncontent-length: %d\r\n\r\n%s"
            % (token.encode(), len(content), content)
        )
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
        assert b"200 OK" in waiting.recv(1000)
        waiting.close()


def test_what_was_acknowledged_outlives_a_kill(home: Path) -> None:
    with serving(home) as server:
        attempt = server.attempt({"task_id": "a"}, {"task_id": "b", "upstreams": ["a"]})
        attempt.own("PUT", "log?offset=0", content=b"line\n")
        assert attempt.end("success").status_code == 204
        server.process.kill()
        server.process.wait(30)
    with serving(home) as again:
        assert again.state_of(attempt.id) == "success"
        assert [claim.ti["task_id"] for claim in again.claim(attempt.ti["dag_id"])] == ["b"]
        assert again.people("GET", f"/task-instances/{attempt.id}/log").content == b"line\n"


def test_metrics_are_prometheus_text(server: Live) -> None:
    server.attempt()
    answer = server.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert (
        'taskhand_requests_total{method="PATCH",route="/execution/task-instances/{ti_id}/run",status="200"}'
        in answer.text
    )
    assert 'taskhand_instances{state="running"}' in answer.text


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - it is only looked at
        ("10.0.0.1", False),
        ("x.org", False),
    ],
)
def test_loopback_is_known(host: str, *, local: bool) -> None:
    assert is_loopback(host) is local


def test_a_server_that_was_away_takes_nothing_for_lost_before_it_has_listened(home: Path) -> None:
    with serving(home) as server:
        attempt = server.attempt()
        server.process.kill()
        server.process.wait()
    with sqlite3.connect(home / "taskhand.db") as database:
        assert database.execute("UPDATE instances SET due = 1 WHERE held = 1").rowcount == 1
    database.close()
    with serving(home) as server:
        server.attempt()  # the engine has ticked
        attempt.server = server
        assert attempt.own("PUT", "heartbeat", json=BEAT).status_code == 204
        assert attempt.end("success").status_code == 204
