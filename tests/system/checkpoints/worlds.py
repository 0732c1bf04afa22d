"""A real server, real workers and a flow that is stopped again and again: what the proofs of resuming stand on.

A step of work is a byte in a FIFO that the test reads, so the test counts what was really done, in all attempts
together, and waits for work and not for time.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.architecture.layout import ROOT
from tests.server.http.live import Live, serving

PATIENCE_S = 40.0
OVER = {"success", "failed"}


class Work:
    """The FIFO. `done` is how many steps were done so far."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.done = 0
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def read(self, within_s: float = 0.0) -> bool:
        """Take what is there, waiting for it so long: whether anything came."""
        if not select.select([self._fd], [], [], within_s)[0]:
            return False
        self.done += len(os.read(self._fd, 65536))
        return True

    def until(self, count: int, within_s: float = PATIENCE_S) -> bool:
        """Wait until so many steps were done: whether they were before nothing came for so long."""
        while self.done < count:
            if not self.read(within_s):
                return False
        return True

    def close(self) -> None:
        os.close(self._fd)


class Machine:
    """A worker in a session of its own, which can be stopped as machines stop."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process

    def stop(self, *, patience_s: float = 30.0) -> int:
        """SIGTERM; gives its exit code."""
        self.process.terminate()
        return self.process.wait(patience_s)

    def perish(self) -> None:
        """SIGKILL the worker, its keeper and their children: the machine is gone, and said nothing."""
        for pid in (self.process.pid, *reversed(offspring(self.process.pid))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)


def offspring(pid: int) -> list[int]:
    """Give all that descend from a process, nearest first."""
    children: dict[int, list[int]] = {}
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):
                parent = int(Path(process, "stat").read_text().rpartition(") ")[2].split()[1])
                children.setdefault(parent, []).append(int(process.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found[1:]


class World:
    """A server and its workers."""

    def __init__(self, folder: Path, live: Live) -> None:
        self.folder = folder
        self.live = live
        self.work = Work(folder / "work")
        self.machines: list[Machine] = []

    def machine(self, *arguments: str, home: Path | None = None, **environ: str) -> Machine:
        """Start a worker and wait for its word that it is ready."""
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TASKHAND_KEEPER_CGROUPS": "false", **environ}
        env |= {"TASKHAND_API_URL": f"{self.live.url}/execution", "WORK": str(self.work.path)}
        env |= {"TASKHAND_WORKER_TOKEN": (self.live.home / "worker-token").read_text()}
        env |= {"TASKHAND_KEEPER_PASS_ENV": "PATH,HOME,PYTHONPATH,WORK,TASKHAND_CRASH"}
        reading, writing = os.pipe()
        state = home or self.folder / "state"
        command = [sys.executable, "-m", "supervisor", "run", "--state-dir", str(state), "--ready-fd", str(writing)]
        with (self.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, *arguments], pass_fds=[writing], env=env, stdout=log, stderr=log, start_new_session=True,
                cwd=self.folder,
            )  # fmt: skip
        os.close(writing)
        with os.fdopen(reading, "rb") as ready:
            assert ready.readline().startswith(b"ready"), (self.folder / "worker.log").read_text()
        self.machines.append(Machine(process))
        return self.machines[-1]

    def submit(
        self, *tasks: dict[str, Any], file: Path | None = None, flow: str = "f", conf: dict[str, Any] | None = None
    ) -> None:
        """Submit a flow of these tasks, with its code in a file."""
        graph = {"dag_id": flow, "tasks": [*tasks], "dag_rel_path": str(file or "").lstrip("/")}
        answer = self.live.people("POST", f"/flows/{flow}/runs", json={"graph": graph, "run_id": "r", "conf": conf})
        assert answer.status_code == 201, answer.text

    def instance(self, task: str, flow: str = "f") -> dict[str, Any]:
        """Give a task instance as people see it."""
        page = self.live.people("GET", f"/task-instances?flow={flow}").json()
        found: dict[str, Any] = next(each for each in page["instances"] if each["task_id"] == task)
        return found

    def story(self, task: str, flow: str = "f") -> list[dict[str, Any]]:
        """Give a task instance's timeline."""
        ti_id = self.instance(task, flow)["id"]
        found: list[dict[str, Any]] = self.live.people("GET", f"/task-instances/{ti_id}/timeline").json()["events"]
        return found

    def end(self, flow: str = "f", run: str = "r") -> str:
        """Wait for the end of a run; gives its state."""
        while True:
            found: httpx.Response = self.live.people("GET", f"/flows/{flow}/runs/{run}?wait_s=10")
            state: str = found.json()["state"]
            if state in OVER:
                return state

    def until(self, task: str, *states: str) -> dict[str, Any]:
        """Wait until a task instance is in one of these states."""
        while (found := self.instance(task))["state"] not in states:
            self.work.read(0.02)
        return found


@contextlib.contextmanager
def world(folder: Path, *arguments: str, lease_s: float = 2.0, port: str = "0") -> Iterator[World]:
    """Start the server, and end whatever was started."""
    with serving(folder / "home", "--lease", str(lease_s), "--port", port, *arguments) as live:
        found = World(folder, live)
        try:
            yield found
        finally:
            for machine in found.machines:
                machine.perish()
            found.work.close()
