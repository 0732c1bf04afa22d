"""A variable read through HTTP, as a task sees it: `python -m bench.variable [--quick] [--json]`.

A child of a real keeper asks, one question after the other; the supervisor asks the minimal API and answers. The peer
is a task of Airflow 3.3.2's (task-sdk 1.3.2, from `.interop/1.3.2`, see tools/interop.sh) that asks its own supervisor,
which asks the same API: both ways whole, the trips between task and supervisor included. The floor is the same request
by a blocking socket. Medians of interleaved batches; the part is that of two batches that follow each other.
"""

import asyncio
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from bench.contenders import airflow_environ
from bench.drivers.on_airflow import workload
from bench.environments import AIRFLOW
from bench.exec import EXECUTE, timed
from bench.harness import Row, emit, median_and_spread
from bench.roundtrip import greeting
from bench.serving import minimal_api
from protocol.session import SupervisorSession
from supervisor.api import AttemptApi
from supervisor.conversation import Conversation
from supervisor.keeper.client import KeeperClient, KeeperSettings, Kind, SpawnRequest
from supervisor.opening import client_of
from supervisor.retrying import RetryPolicy
from supervisor.sections import ApiSettings

PEER = """import os, statistics, time
from airflow.sdk import dag, task

@dag(schedule=None)
def d():
    @task
    def reads():
        from airflow.sdk.execution_time.comms import GetVariable
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        times = []
        for _ in range(int(os.environ["COUNT"]) + 100):
            began = time.perf_counter()
            assert SUPERVISOR_COMMS.send(GetVariable(key="key")).value == "a value"
            times.append(time.perf_counter() - began)
        with open(os.environ["FOUND"], "w") as file:
            file.write(str(statistics.median(times[100:]) * 1e6))

    reads()

d()
"""


class Desk:
    """As much of an attempt as a question of its variables needs; it listens to nothing else."""

    extended = False

    def __init__(self, api: AttemptApi) -> None:
        self.api = api

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


async def put(url: str) -> None:
    """Have the API know the variable."""
    client = client_of(ApiSettings(url=url))
    api = AttemptApi(client, greeting().ti.id, "t", RetryPolicy())
    await api.do("PUT", "/variables/key", {"val": "a value", "description": None})
    await client.close()


async def ours(keeper: KeeperClient, url: str, number: int, count: int) -> float:
    """Give the median microseconds of one child's reads."""
    child = await keeper.spawn(SpawnRequest(f"n{number}", Kind.PYTHON, env={"COUNT": str(count)}))
    assert child.frames_fd is not None
    client = client_of(ApiSettings(url=url))
    desk = Desk(AttemptApi(client, greeting().ti.id, "t", RetryPolicy()))
    talk = Conversation(child.frames_fd, SupervisorSession(), desk, desk)  # type: ignore[arg-type]  # what is asked is there
    talk.greet(greeting())
    ending = await child.wait()
    assert ending.code == 0, os.read(child.stderr_fd, 10_000).decode()
    result = float(os.read(child.stdout_fd, 100))
    talk.close()
    await client.close()
    for fd in (child.stdout_fd, child.stderr_fd, child.slate_fd, child.logs_fd):
        os.close(fd or -1)
    return result


def floor(url: str, count: int) -> float:
    """Give the median microseconds of the same request over a blocking socket."""
    where = urlsplit(url)
    request = f"GET {where.path}/variables/key HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t\r\n\r\n".encode()
    times = []
    with socket.create_connection((where.hostname, where.port)) as connection:
        for _ in range(count):
            began = time.perf_counter()
            connection.sendall(request)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            times.append(time.perf_counter() - began)
    return sorted(times)[count // 2] * 1e6


def peer(url: str, count: int) -> float | None:
    """Give the median microseconds of one task's reads of Airflow's, where its environment is there."""
    if not AIRFLOW.exists():
        return None
    with tempfile.TemporaryDirectory() as name:
        home, found = Path(name), Path(name, "found")
        environ = airflow_environ(url, home) | {"COUNT": str(count), "FOUND": str(found)}
        (home / "dags" / "flow.py").write_text(PEER)
        timed([*EXECUTE, json.dumps(workload("reads"))], environ)
        return float(found.read_text())


async def measure(url: str, count: int, runs: int) -> dict[str, list[float]]:
    """Measure all in turns."""
    found: dict[str, list[float]] = {"ours": [], "floor": [], "peer": []}
    await put(url)
    with tempfile.TemporaryDirectory() as folder:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        keeper = KeeperClient(KeeperSettings(folder, "bench.children:asking", env=env))
        await keeper.start()
        for number in range(runs):
            found["ours"].append(await ours(keeper, url, number, count))
            found["floor"].append(await asyncio.to_thread(floor, url, count))
            theirs = await asyncio.to_thread(peer, url, count)
            found["peer"] += [] if theirs is None else [theirs]
        await keeper.stop()
    return found


def main(arguments: list[str]) -> None:
    """Measure and print."""
    count, runs = (500, 3) if "--quick" in arguments else (3_000, 5)
    with minimal_api() as url:
        found = asyncio.run(measure(url, count, runs))
    middle, spread = median_and_spread(found["ours"])
    lowest = round(median_and_spread(found["floor"])[0], 1)
    peers = {"a task of Airflow 3.3.2's": round(median_and_spread(found["peer"])[0], 1)} if found["peer"] else {}
    rows = [Row("variable read through HTTP", "us", round(middle, 1), peers, lowest, runs, spread)]
    if peers:
        part, spread = median_and_spread([mine / its for mine, its in zip(found["ours"], found["peer"], strict=True)])
        rows.append(Row("the same, as a part of Airflow's", "x", round(part, 3), {}, None, runs, spread))
    emit(rows, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
