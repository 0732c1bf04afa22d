"""Who is compared, and how each is started and measured: `bench.drivers` are their programs."""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from bench.broker import broker
from bench.drivers.on_airflow import DAG
from bench.environments import AIRFLOW, QUEUES, ROOT
from bench.meter import cpu_s, family, pss_kib
from bench.serving import minimal_api

SLOTS = 8


class Contender(NamedTuple):
    """One of those compared."""

    name: str
    python: Path
    driver: str
    arguments: tuple[str, ...] = ()
    needs_broker: bool = False


OURS = Contender("Taskhand", Path(sys.executable), "ours")
PRELOADED = Contender("Taskhand, flow preloaded", Path(sys.executable), "ours", ("preload",))
LOCAL = Contender("Airflow LocalExecutor", AIRFLOW, "on_airflow")
PREFORK = Contender("Celery prefork, processes reused", QUEUES, "on_celery", (), needs_broker=True)
ONE_JOB = ("--max-tasks-per-child", "1")
FRESH = Contender("Celery prefork, a process a job", QUEUES, "on_celery", ONE_JOB, needs_broker=True)
RQ = Contender("RQ, a process a job", QUEUES, "on_rq", (), needs_broker=True)
ALL = (OURS, PRELOADED, LOCAL, PREFORK, FRESH, RQ)


def airflow_environ(url: str, home: Path) -> dict[str, str]:
    """Give what Airflow is told of its home, its Dags and its execution API; all else is as it comes."""
    dags = home / "dags"
    dags.mkdir()
    (dags / "flow.py").write_text(DAG)
    core = {"DAGS_FOLDER": str(dags), "EXECUTION_API_SERVER_URL": f"{url}/", "LOAD_EXAMPLES": "False"}
    names = {f"AIRFLOW__CORE__{name}": value for name, value in core.items()}
    names |= {"AIRFLOW__API_AUTH__JWT_SECRET": "bench", "AIRFLOW_HOME": str(home), "HOME": str(home)}
    return names | {"PATH": os.environ["PATH"]}


class Venue(NamedTuple):
    """What all of them are measured at: one execution API, one broker, one folder."""

    url: str
    broker: str | None
    folder: Path

    def absent(self, contender: Contender) -> str | None:
        """Say why one cannot be measured here."""
        if not contender.python.exists():
            return "its environment is not there; tools/interop.sh makes it"
        return "no redis-server on this machine" if contender.needs_broker and self.broker is None else None

    def environ(self, home: Path) -> dict[str, str]:
        """Give what the programs find in their environment."""
        (home / "ran").mkdir()
        names = airflow_environ(self.url, home) | {"PYTHONPATH": str(ROOT), "RAN": str(home / "ran")}
        return names | ({} if self.broker is None else {"BENCH_BROKER": self.broker})


@contextlib.contextmanager
def venue() -> Iterator[Venue]:
    """Open it."""
    with tempfile.TemporaryDirectory() as name, minimal_api() as url, broker(Path(name)) as queue:
        yield Venue(url, queue, Path(name))


class Running:
    """One that is started."""

    def __init__(self, process: "subprocess.Popen[str]", ran: Path, log: Path) -> None:
        self._process = process
        self._ran = ran
        self._log = log
        self.pid = 0

    def begin(self) -> None:
        """Hear who its worker is, which it says when it is ready."""
        self.pid = int(self._hear()["pid"])

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("{"), f"{line!r}, and before: {self._log.read_text()[-3000:]}"
        heard: dict[str, Any] = json.loads(line)
        return heard

    def _ask(self, do: str, **more: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def noops(self, count: int) -> tuple[float, float]:
        """Have so many no-op jobs done: CPU milliseconds of each, and how many a second."""
        self._ask("prepare", count=count)
        before = cpu_s(family(self.pid))
        wall = self._ask("go")["wall"]
        return (cpu_s(family(self.pid)) - before) / count * 1e3, count / wall

    def asleep_kib(self, count: int) -> int:
        """Have so many jobs sleep; give the memory of all processes when they do."""
        self._ask("sleep", count=count)
        while len(list(self._ran.iterdir())) < count:
            assert self._process.poll() is None, self._log.read_text()[-3000:]
            select.select([], [], [], 0.05)
        return pss_kib(family(self.pid))

    def end(self) -> None:
        """End it and what it has started, and wait until they are gone."""
        root = psutil.Process(self._process.pid)
        everyone = [root, *root.children(recursive=True)]
        for each in everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self._process.communicate()
        assert not psutil.wait_procs(everyone, timeout=30)[1]


@contextlib.contextmanager
def started(contender: Contender, place: Venue, slots: int) -> Iterator[Running]:
    """Start one with so many slots."""
    with tempfile.TemporaryDirectory(dir=place.folder) as name:
        home = Path(name)
        environ = place.environ(home)
        own = (place.url, str(home)) if contender.driver == "ours" else ()
        command = [str(contender.python), "-m", f"bench.drivers.{contender.driver}", *own, str(slots)]
        log = home / "log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*command, *contender.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environ,
                cwd=home,
            )
        running = Running(process, home / "ran", log)
        try:
            running.begin()
            yield running
        finally:
            running.end()
