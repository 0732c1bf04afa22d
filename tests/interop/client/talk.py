"""Airflow's own client in a process of its own: we name a method and its arguments, and hear what came of it.

What JSON has no form for is marked: `{"$": "datetime", "v": …}`, and likewise `uuid` and, with its class, `message`.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from tests.interop.peers import python_of

PEER = """
import json, sys
from datetime import datetime
from uuid import UUID
from airflow.sdk.api import client as api
from airflow.sdk.api.datamodels import _generated as models
from airflow.sdk.execution_time import comms

client = api.Client(base_url=sys.argv[1], token=sys.argv[2])

def made(value):
    if isinstance(value, list):
        return [made(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "$" not in value:
        return {key: made(each) for key, each in value.items()}
    if value["$"] == "datetime":
        return datetime.fromisoformat(value["v"])
    if value["$"] == "uuid":
        return UUID(value["v"])
    kind = getattr(comms, value["$"], None) or getattr(models, value["$"])
    return kind(**made(value["v"])) if isinstance(value["v"], dict) else kind(value["v"])

def shown(value):
    return value.model_dump(mode="json", by_alias=True) if hasattr(value, "model_dump") else value

for line in sys.stdin:
    asked = json.loads(line)
    if "token" in asked:
        client.auth = api.BearerAuth(asked["token"])
    operations, _, method = asked["method"].partition(".")
    if not method:
        found = [name for name in vars(type(getattr(client, operations))) if name[0] != "_" and name != "client"]
        print(json.dumps({"result": found, "token": ""}), file=sys.__stdout__, flush=True)
        continue
    try:
        said = {"result": shown(getattr(getattr(client, operations), method)(**made(asked["arguments"])))}
    except Exception as error:
        answer = getattr(error, "response", None)
        said = {"error": type(error).__name__, "message": str(error), "status": getattr(answer, "status_code", None),
                "detail": getattr(error, "detail", None)}
        if error.__cause__ is not None and said["detail"] is None:
            said["detail"] = getattr(error.__cause__, "detail", None)
    print(json.dumps(said | {"token": client.auth.token}, default=str), file=sys.__stdout__, flush=True)
"""


class Refused(Exception):
    """What Airflow's client raised."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(said)
        self.error: str = said["error"]
        self.status: int | None = said["status"]
        self.detail: Any = said["detail"]


class AirflowClient:
    """The peer's end of the conversation."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.token = ""

    def call(self, method: str, /, **arguments: Any) -> Any:
        """Have it call `operations.method`."""
        asked = {"method": method, "arguments": {key: marked(value) for key, value in arguments.items()}}
        if self.token:
            asked["token"] = self.token
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(asked) + b"\n")
        self._process.stdin.flush()
        while True:
            line = self._process.stdout.readline()
            assert line, "the peer ended"
            if line.startswith(b"{"):
                break
        said = msgspec.json.decode(line)
        self.token = said["token"]
        if "error" in said:
            raise Refused(said)
        return said["result"]

    def methods(self, operations: str) -> list[str]:
        """Name all methods of a group."""
        found: list[str] = self.call(operations)
        return found


def marked(value: Any) -> Any:
    return {"$": "datetime", "v": value.isoformat()} if isinstance(value, datetime) else value


def uuid(text: str) -> dict[str, str]:
    return {"$": "uuid", "v": text}


def message(name: str, **fields: Any) -> dict[str, Any]:
    return {"$": name, "v": {key: marked(value) for key, value in fields.items()}}


@contextmanager
def airflow_client(version: str, url: str, token: str, home: Path) -> Iterator[AirflowClient]:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "1",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
    }
    process = subprocess.Popen(
        [python_of(version), "-c", PEER, f"{url}/execution/", token],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(log := (home / "peer.log").open("ab")),
        env=environment,
    )
    try:
        yield AirflowClient(process)
    finally:
        process.communicate(timeout=30)
        log.close()
