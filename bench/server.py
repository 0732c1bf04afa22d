"""The server over HTTP: task lifecycles per second with 8 clients, and what of it is the store and what is HTTP.

A lifecycle is three requests: claim one workload, `/run`, and success, each durable when it is answered. The server is
a process of its own, as in life; the clients are raw sockets in this one, so that they cost little of the two cores.
`ping` is a request that touches no store: three of them are the floor of a lifecycle over this HTTP.

    python -m bench.server [--quick] [--json] [--postgres URL]
"""

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil

from bench.harness import Row, emit, median_and_spread

CLIENTS = 8
TASKS = 50
RUNNING = b'{"state":"running","hostname":"bench","unixname":"bench","pid":1,"start_date":"2026-01-01T00:00:00Z"}'
SUCCESS = b'{"state":"success","end_date":"2026-01-01T00:00:01Z"}'
CLAIM = b'{"worker":"bench","queues":["bench"],"slots":1}'
REQUESTS = 3


class Connection:
    """One keep-alive connection, and no more of HTTP than our server speaks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, head: bytes, token: bytes, body: bytes = b"") -> tuple[int, bytes, bytes]:
        """Give status, headers and body."""
        self._writer.write(
            b"%s HTTP/1.1\r\nhost: x\r\nairflow-api-version: 2026-10-30\r\nauthorization: Bearer %s\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (head, token, len(body), body)
        )
        headers = await self._reader.readuntil(b"\r\n\r\n")
        length = int(header(headers, b"content-length") or 0)
        return int(headers[9:12]), headers, await self._reader.readexactly(length) if length else b""

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def header(headers: bytes, name: bytes) -> bytes:
    """Give a header's value, or nothing."""
    _, found, rest = headers.partition(b"\r\n%s: " % name)
    return rest.partition(b"\r\n")[0] if found else b""


class Server:
    """The server under test."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str, home: Path) -> None:
        self.process = psutil.Process(process.pid)
        self.host, self.port = url.removeprefix("http://").split(":")
        self.worker = (home / "worker-token").read_bytes()
        user = {"authorization": f"Bearer {(home / 'user-token').read_text()}"}
        self.people = httpx.Client(base_url=f"{url}/api", headers=user, timeout=60)

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    async def connect(self) -> Connection:
        """Open a connection."""
        return Connection(*await asyncio.open_connection(self.host, int(self.port)))

    def submit(self, count: int) -> None:
        """Have so many tasks queued, and wait until they are."""
        tasks = [
            {"task_id": f"t{n}", "queue": "bench", "args": [{"kind": "literal", "name": "x", "value": "some value"}]}
            for n in range(TASKS)
        ]
        for _ in range(count // TASKS):
            self.people.post(
                "/flows/bench/runs", json={"graph": {"dag_id": "bench", "tasks": tasks}}
            ).raise_for_status()
        waits: dict[str, str | int] = {"flow": "bench", "state": "scheduled", "limit": 1}
        while self.people.get("/task-instances", params=waits).json()["total"]:
            pass


@contextlib.contextmanager
def serving(home: Path, *arguments: str) -> Iterator[Server]:
    """Start a server, and end it."""
    command = [sys.executable, "-m", "supervisor", "server", "--port", "0", "--home", str(home), "--json", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        yield Server(process, msgspec.json.decode(process.stdout.readline())["url"], home)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


async def lifecycles(connection: Connection, server: Server) -> int:
    """Claim, start and end until there is nothing more."""
    done = 0
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    while True:
        status, _, body = await connection.ask(b"POST /execution/workloads/claim", server.worker, CLAIM)
        assert status == 200, body  # noqa: PLR2004 - OK
        claimed = decode(body)["workloads"]
        if not claimed:
            return done
        where = b"PATCH /execution/task-instances/%s" % claimed[0]["ti"]["id"].encode()
        status, headers, body = await connection.ask(where + b"/run", claimed[0]["token"].encode(), RUNNING)
        assert status == 200, body  # noqa: PLR2004 - OK
        status, _, body = await connection.ask(where + b"/state", header(headers, b"refreshed-api-token"), SUCCESS)
        assert status == 204, body  # noqa: PLR2004 - No Content
        done += 1


async def pings(connection: Connection, server: Server, count: int) -> int:
    """Ask for what needs no store."""
    for _ in range(count):
        status, _, _ = await connection.ask(b"GET /execution/health/ping", server.worker)
        assert status == 200  # noqa: PLR2004 - OK
    return count


async def rate(server: Server, work: Callable[[Connection], Awaitable[int]]) -> tuple[float, float]:
    """Give how many per second 8 clients get done, and the server's CPU milliseconds for each."""
    connections = [await server.connect() for _ in range(CLIENTS)]
    begun, cpu = time.perf_counter(), server.cpu()
    done = sum(await asyncio.gather(*[work(connection) for connection in connections]))
    took, used = time.perf_counter() - begun, server.cpu() - cpu
    for connection in connections:
        connection.close()
    return done / took, used / done * 1000


async def measure(name: str, rounds: int, count: int, *arguments: str) -> list[Row]:
    """Measure one database."""
    lives: list[tuple[float, float]] = []
    floors: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "home", *arguments) as server:
        for number in range(rounds + 1):
            await asyncio.to_thread(server.submit, count)
            live = await rate(server, lambda connection: lifecycles(connection, server))
            floor = await rate(server, lambda connection: pings(connection, server, count // CLIENTS))
            if number:  # the first warms up
                lives.append(live)
                floors.append(floor)
    ours, spread = median_and_spread([rate for rate, _ in lives])
    floor_rate = median_and_spread([rate for rate, _ in floors])[0] / REQUESTS
    cpu, cpu_spread = median_and_spread([cpu for _, cpu in lives])
    cpu_floor = median_and_spread([cpu for _, cpu in floors])[0] * REQUESTS
    return [
        Row(f"lifecycles over HTTP, {name}", "/s", round(ours, 1), {}, round(floor_rate, 1), rounds, spread),
        Row(f"server CPU for one, {name}", "ms", round(cpu, 3), {}, round(cpu_floor, 3), rounds, cpu_spread),
    ]


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.server", description="task lifecycles per second over HTTP")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--postgres", metavar="URL", help="an empty database")
    given = parser.parse_args()
    rounds, count = (3, 400) if given.quick else (5, 2000)
    rows = asyncio.run(measure("SQLite", rounds, count))
    if given.postgres or os.environ.get("TASKHAND_TEST_PG"):
        url = given.postgres or os.environ["TASKHAND_TEST_PG"]
        rows += asyncio.run(measure("PostgreSQL", rounds, count, "--db", url))
    emit(rows, sys.argv)


if __name__ == "__main__":
    main()
