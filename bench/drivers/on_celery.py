"""Celery's prefork pool: `python -m bench.drivers.on_celery SOCKET SLOTS [--max-tasks-per-child 1]`.

The pool is a process of its own, as in life; broker and results are a Redis on a Unix socket, and whoever waits reads
the results from there.
"""

import os
import subprocess
import sys
from importlib import import_module
from typing import Any

from bench.drivers import jobs
from bench.drivers.talk import Work, serve, take_stdout

URL = os.environ.get("BENCH_BROKER", "redis+socket:///nowhere")
app = import_module("celery").Celery("bench", broker=URL, backend=URL)
noop, sleeps = app.task(jobs.noop, name="noop"), app.task(jobs.sleeps, name="sleeps")


def prepare(count: int) -> list[Any]:
    """Give what is to be sent."""
    return [noop.s() for _ in range(count)]


def go(signatures: list[Any]) -> None:
    """Send, and wait for all results."""
    sent = [each.apply_async() for each in signatures]
    import_module("celery.result").ResultSet(sent, app=app).join(timeout=300)


def sleep(count: int) -> None:
    """Send what sleeps."""
    for _ in range(count):
        sleeps.delay(os.environ["RAN"])


def main(slots: str, *more: str) -> None:
    """Be the driver."""
    voice = take_stdout()
    command = ["celery", "-A", "bench.drivers.on_celery", "worker", "--pool", "prefork", "--concurrency", slots]
    command += ["--loglevel", "ERROR", "-Ofair", *more]
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL, cwd=os.environ["RAN"]) as pool:
        serve(voice, pool.pid, Work(prepare, go, sleep))
        pool.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:])
