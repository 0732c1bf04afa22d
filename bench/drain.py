"""What a drain takes: 200 running tasks that save, one SIGTERM, until all are checkpointed and reported.

A real server, a real worker, our own runner. Each task saves once and waits until it is asked to stop; its own
checkpoint takes `OWN_S`. Measured from the signal to the worker's exit; the number that was told comes from the server.
`python -m bench.drain [--quick] [--json]`.
"""

import contextlib
import os
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from bench.harness import Row, emit, median_and_spread

OWN_S = 0.2
FLOW = f"""import threading
from runner import flow, task

@task
def item(ctx, number=0):
    ctx.save({{"step": 1}}, progress=1)
    while not ctx.stopping:
        threading.Event().wait(0.05)
    threading.Event().wait({OWN_S})
    ctx.save({{"step": 2}}, progress=2)

@flow
def d():
    item()
"""
PROGRAM = [sys.executable, "-m", "supervisor"]


@contextlib.contextmanager
def running(arguments: list[str], folder: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a program, wait for its word that it is ready, and end it."""
    reading, writing = os.pipe()
    with Path(folder, "log").open("ab") as log:
        process = subprocess.Popen(
            [*PROGRAM, *arguments, "--ready-fd", str(writing)], pass_fds=[writing], stdout=log, stderr=log
        )
    os.close(writing)
    with os.fdopen(reading, "rb") as ready:
        assert ready.read(1), Path(folder, "log").read_text()
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def count(http: httpx.Client, event: str) -> int:
    """Count the task instances that are in a state."""
    found: int = http.get("/task-instances", params={"state": event, "limit": 1}).json()["total"]
    return found


def drained(tasks: int) -> tuple[float, int]:
    """Give the seconds from SIGTERM to the worker's exit, and how many attempts the server knows as checkpointed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "flow.py")
        file.write_text(FLOW)
        with (
            running(["server", "--home", folder, "--port", "0"], folder),
            running(["run", "--state-dir", folder, "--slots", str(tasks)], folder) as worker,
        ):
            url, token = (Path(folder, name).read_text().strip() for name in ("server-url", "user-token"))
            # Resuming by hand: what the drain has left stays as it is.
            specs = [{"task_id": f"item__{n}" if n else "item", "resume": "manual"} for n in range(tasks)]
            graph = {"dag_id": "d", "dag_rel_path": str(file)[1:], "tasks": specs}
            with httpx.Client(base_url=f"{url}/api", headers={"authorization": f"Bearer {token}"}, timeout=60) as http:
                http.post("/flows/d/runs", json={"graph": graph}).raise_for_status()
                saved(Path(folder), tasks)
                begin = time.perf_counter()
                worker.send_signal(signal.SIGTERM)
                assert worker.wait(60) == 0
                took = time.perf_counter() - begin
                told = count(http, "checkpointed")
    return took, told


def saved(folder: Path, tasks: int) -> None:
    """Wait until each has saved once: the server's database knows."""
    with sqlite3.connect(f"file:{folder / 'taskhand.db'}?mode=ro", uri=True) as database:
        while database.execute("SELECT count(*) FROM checkpoints").fetchone()[0] < tasks:
            select.select([], [], [], 0.05)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    quick = "--quick" in arguments
    tasks, rounds = (50, 2) if quick else (200, 3)
    found = [drained(tasks) for _ in range(rounds)]
    assert all(told == tasks for _, told in found), found
    seconds, spread = median_and_spread([took - OWN_S for took, _ in found])
    name = f"drain of {tasks} running tasks beyond their own checkpoint ({OWN_S:g} s), all told"
    emit([Row(name, "s", round(seconds, 2), {}, None, rounds, spread)], arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
