"""RQ's worker pool, a forked process a job: `python -m bench.drivers.on_rq SLOTS`. The Redis is as for Celery."""

import os
import subprocess
import sys
import threading
from importlib import import_module

from bench.drivers import jobs
from bench.drivers.talk import Work, serve, take_stdout

EVERY_S = 0.005


class Pool:
    """The queue, and the registry of what has ended well."""

    def __init__(self, url: str) -> None:
        rq = import_module("rq")
        self._connection = import_module("redis").Redis.from_url(url)
        self._queue = rq.Queue("bench", connection=self._connection)
        self._ended = rq.registry.FinishedJobRegistry("bench", connection=self._connection)
        self._prepare = rq.Queue.prepare_data

    def prepare(self, count: int) -> int:
        """Remember how many; they are made when they are sent."""
        return count

    def go(self, count: int) -> None:
        """Send all at once, and wait until so many more have ended."""
        wanted = len(self._ended.get_job_ids(cleanup=False)) + count
        self._queue.enqueue_many([self._prepare(jobs.noop) for _ in range(count)])
        pause = threading.Event()
        while self._connection.zcard(self._ended.key) < wanted:
            pause.wait(EVERY_S)

    def sleep(self, count: int) -> None:
        """Send what sleeps."""
        for _ in range(count):
            self._queue.enqueue(jobs.sleeps, os.environ["RAN"], job_timeout=3600)


def main(slots: str) -> None:
    """Be the driver."""
    voice = take_stdout()
    url = os.environ["BENCH_BROKER"].replace("redis+socket", "unix")
    command = ["rq.cli", "worker-pool", "bench", "--num-workers", slots, "--url", url, "--quiet"]
    pool = Pool(url)
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL) as workers:
        serve(voice, workers.pid, Work(pool.prepare, pool.go, pool.sleep))
        workers.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:])
