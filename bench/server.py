"""The server over HTTP: task lifecycles per second with 8 clients, and what of it is the store and what is HTTP.

A lifecycle is three requests: claim one workload, `/run`, and success, each durable when it is answered. The server is
a process of its own, as in life; the clients are raw sockets in this one, so that they cost little of the two cores.
`ping` is a request that touches no store: three of them are the floor of a lifecycle over this HTTP. `full` has 100,000
finished task instances (10,000 with `--quick`) and 10,000 that wait in another queue besides; its server and the empty
one are measured in turns.

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
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil

from bench.harness import Row, emit, median_and_spread
from bench.history import put_full

CLIENTS = 8
TASKS = 50
RUNNING = b'{"state":"running","hostname":"bench","unixname":"bench","pid":1,"start_date":"2026-01-01T00:00:00Z"}'
SUCCESS = b'{"state":"success","end_date":"2026-01-01T00:00:01Z"}'
CLAIM = b'{"worker":"bench","queues":["bench"],"slots":1}'
REQUESTS = 3
EMPTY, FULL = "SQLite", "SQLite, full"


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


Figures = list[tuple[float, float]]


async def measure(homes: dict[str, Path], rounds: int, count: int, *arguments: str) -> list[Row]:
    """Measure a server at each home, in turns."""
    lives: dict[str, Figures] = {name: [] for name in homes}
    floors: dict[str, Figures] = {name: [] for name in homes}
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(serving(home, *arguments)) for name, home in homes.items()}
        for number in range(rounds + 1):
            for name, server in list(servers.items())[:: 1 if number % 2 else -1]:
                await asyncio.to_thread(server.submit, count)
                live = await rate(server, partial(lifecycles, server=server))
                floor = await rate(server, partial(pings, server=server, count=count // CLIENTS))
                if number:  # the first warms up
                    lives[name].append(live)
                    floors[name].append(floor)
    return [row for name in homes for row in rows_of(name, lives[name], floors[name])] + list(compared(lives))


def rows_of(name: str, lives: Figures, floors: Figures) -> Iterator[Row]:
    """Give the rows of one server."""
    ours, spread = median_and_spread([rate for rate, _ in lives])
    floor_rate = median_and_spread([rate for rate, _ in floors])[0] / REQUESTS
    yield Row(f"lifecycles over HTTP, {name}", "1/s", round(ours, 1), {}, round(floor_rate, 1), len(lives), spread)
    cpu, spread = median_and_spread([cpu for _, cpu in lives])
    cpu_floor = median_and_spread([cpu for _, cpu in floors])[0] * REQUESTS
    yield Row(f"server CPU for one, {name}", "ms", round(cpu, 3), {}, round(cpu_floor, 3), len(lives), spread)


def compared(lives: dict[str, Figures]) -> Iterator[Row]:
    """Say what a past costs, where there is a server with one: time per lifecycle, full beside empty, of each round."""
    if FULL in lives:
        pairs = [empty / full for (empty, _), (full, _) in zip(lives[EMPTY], lives[FULL], strict=True)]
        ratio, spread = median_and_spread(pairs)
        yield Row(
            "time of one over HTTP, full as a multiple of empty", "x", round(ratio, 3), {}, None, len(pairs), spread
        )


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.server", description="task lifecycles per second over HTTP")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--postgres", metavar="URL", help="an empty database")
    given = parser.parse_args()
    rounds, count = (3, 400) if given.quick else (9, 1000)
    with tempfile.TemporaryDirectory() as folder:
        homes = {EMPTY: Path(folder, "empty"), FULL: Path(folder, "full")}
        homes[FULL].mkdir(mode=0o700)
        put_full(homes[FULL] / "taskhand.db", 10_000 if given.quick else 100_000)
        rows = asyncio.run(measure(homes, rounds, count))
    if given.postgres or os.environ.get("TASKHAND_TEST_PG"):
        url = given.postgres or os.environ["TASKHAND_TEST_PG"]
        with tempfile.TemporaryDirectory() as folder:
            rows += asyncio.run(measure({"PostgreSQL": Path(folder, "home")}, rounds, count, "--db", url))
    emit(rows, sys.argv)


if __name__ == "__main__":
    main()
