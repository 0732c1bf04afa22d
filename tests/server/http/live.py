"""A real server in a process of its own, and the two sides that talk to it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from protocol.flows import FlowGraph
from server.settings import USER_TOKEN_FILE, WORKER_TOKEN_FILE
from server.tokens import Scope, Tokens

WHEN = "2026-01-02T03:04:05Z"
LONG_GONE = "01890000-0000-7000-8000-000000000000"
PROCESS = {"hostname": "h", "unixname": "u", "pid": 1}
RUNNING = {"state": "running", "start_date": WHEN, **PROCESS}
BEAT = {"hostname": "h", "pid": 1}

_numbers = count()


class Attempt:
    """One attempt, as its supervisor has it."""

    def __init__(self, server: "Live", workload: dict[str, Any]) -> None:
        self.workload = workload
        self.server = server
        self.ti = workload["ti"]
        self.id: str = self.ti["id"]
        self.token: str = workload["token"]

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask as this attempt; a refreshed token is taken over, as a supervisor does."""
        headers = {"authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        answer = self.server.http.request(method, f"/execution{path}", headers=headers, **more)
        self.token = answer.headers.get("refreshed-api-token", self.token)
        return answer

    def own(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.ask(method, f"/task-instances/{self.id}/{path}", **more)

    def run(self) -> dict[str, Any]:
        answer = self.own("PATCH", "run", json=RUNNING)
        assert answer.status_code == 200, answer.text
        context: dict[str, Any] = answer.json()
        return context

    def end(self, state: str, **fields: Any) -> httpx.Response:
        return self.own("PATCH", "state", json={"state": state} | (fields or {"end_date": WHEN}))

    def xcom(self, key: str = "return_value") -> str:
        return f"/xcoms/{self.ti['dag_id']}/{self.ti['run_id']}/{self.ti['task_id']}/{key}"


class Live:
    """A server, and who may speak to it."""

    def __init__(self, url: str, home: Path, process: subprocess.Popen[bytes]) -> None:
        self.url, self.home, self.process = url, home, process
        self.http = httpx.Client(base_url=url, timeout=30)
        secret = home / "secret"
        self.tokens = Tokens((secret if secret.exists() else home.parent.parent / "secret").read_bytes())
        self._worker = (home / WORKER_TOKEN_FILE).read_text()
        self._user = (home / USER_TOKEN_FILE).read_text()

    def people(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._user}"} | more.pop("headers", {})
        return self.http.request(method, f"/api{path}", headers=headers, **more)

    def submit(self, *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Submit a flow of these tasks, under a name and in a queue of its own unless told otherwise."""
        flow = more.pop("dag_id", None) or f"flow{next(_numbers)}-{uuid4().hex[:8]}"
        specs = [{"queue": flow} | task for task in tasks or ({"task_id": "t"},)]
        graph = {"dag_id": flow, "tasks": specs, "dag_rel_path": "flows/a.py"} | more.pop("graph", {})
        msgspec.convert(graph, FlowGraph)
        answer = self.people("POST", f"/flows/{flow}/runs", json={"graph": graph} | more)
        assert answer.status_code == 201, answer.text
        run: dict[str, Any] = answer.json()
        return run

    def claim(self, queue: str, slots: int = 100, wait_s: float = 10, **more: Any) -> list[Attempt]:
        body = {"worker": "w", "queues": [queue], "slots": slots, "wait_s": wait_s} | more
        answer = self.http.post("/execution/workloads/claim", json=body, headers=self.as_worker())
        assert answer.status_code == 200, answer.text
        return [Attempt(self, workload) for workload in answer.json()["workloads"]]

    def as_worker(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._worker}"}

    def attempt(self, *tasks: dict[str, Any], started: bool = True, **more: Any) -> Attempt:
        """Submit, claim the first task and start it."""
        attempt = self.claim(self.submit(*tasks, **more)["dag_id"])[0]
        if started:
            attempt.run()
        return attempt

    def mint(self, scope: Scope, subject: str, **more: Any) -> str:
        return self.tokens.mint(scope, subject, more.pop("now", datetime.now(UTC)), **more)

    def state_of(self, ti_id: str) -> str:
        state: str = self.people("GET", f"/task-instances/{ti_id}").json()["state"]
        return state


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[Live]:
    """Start a server, wait for its word that it is ready, and end it."""
    command = [sys.executable, "-m", "supervisor", "server", "--port", "0", "--home", str(home), "--json", *arguments]
    with (home.parent / "server.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (home.parent / "server.log").read_text()
        live = Live(msgspec.json.decode(line)["url"], home, process)
        with live.http:
            yield live
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
