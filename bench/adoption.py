"""What a killed worker and an upgrade cost its tasks: how long nobody watches them, with 200 of them running.

A real server, a real worker, our own runner; the tasks ask for a variable now and then. *Killed*: from SIGKILL to the
moment at which the next worker, which is started at once, has adopted all and says that it is ready. *Upgrade*: what
the worker itself says, from its last instruction to its successor's being ready with all of them. At the end every task
has told its outcome, once, on its first attempt. The floor is an interpreter that starts, imports nothing and ends.
`python -m bench.adoption [--quick] [--json] [--rounds=N]`.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from bench.drain import PROGRAM, count, running
from bench.harness import Row, emit, median_and_spread

FLOW = """import threading
from pathlib import Path
from runner import flow, task

GO = Path(__file__).with_name("go")

@task
def item(ctx, number=0):
    while not GO.exists():
        ctx.variables.get("k", None)
        threading.Event().wait(0.5)

@flow
def d():
    item()
"""


class Worker:
    """One worker after the other, on one folder."""

    def __init__(self, folder: Path, tasks: int) -> None:
        self._folder = folder
        self._slots = str(tasks)
        self.process = self._started()

    def _started(self) -> "subprocess.Popen[bytes]":
        reading, writing = os.pipe()
        command = [*PROGRAM, "run", "--state-dir", str(self._folder), "--slots", self._slots]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*command, "--ready-fd", str(writing)], pass_fds=[writing], stdout=log, stderr=log
            )
        os.close(writing)
        with os.fdopen(reading, "rb") as ready:
            assert ready.read(1), (self._folder / "log").read_text()
        return process

    def killed(self) -> float:
        """Kill it, and start the next: the seconds until that one has adopted all."""
        begin = time.perf_counter()
        self.process.kill()
        self.process.wait()
        self.process = self._started()
        return time.perf_counter() - begin

    def upgraded(self) -> float:
        """Upgrade it: the seconds without a worker."""
        command = [*PROGRAM, "upgrade", "--json", "--state-dir", str(self._folder)]
        done = subprocess.run(command, check=True, capture_output=True)
        (told,) = json.loads(done.stdout)["workers"]
        return float(told["gap_s"])

    def memory(self) -> float:
        """Say how many MiB it takes, its keepers and children not counted."""
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024

    def stop(self) -> None:
        """Drain it."""
        self.process.terminate()
        assert self.process.wait(60) == 0, (self._folder / "log").read_text()


def measured(tasks: int, rounds: int) -> tuple[list[float], list[float], list[float]]:
    """Give the seconds after each kill and each upgrade, and the worker's MiB after each upgrade."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "flow.py"
        file.write_text(FLOW)
        stack.enter_context(running(["server", "--home", str(folder), "--port", "0"], str(folder)))
        url, token = ((folder / name).read_text().strip() for name in ("server-url", "user-token"))
        headers = {"authorization": f"Bearer {token}"}
        http = stack.enter_context(httpx.Client(base_url=f"{url}/api", headers=headers, timeout=60))
        worker = Worker(folder, tasks)
        specs = [{"task_id": f"item__{n}" if n else "item"} for n in range(tasks)]
        graph = {"dag_id": "d", "dag_rel_path": str(file)[1:], "tasks": specs}
        http.post("/flows/d/runs", json={"graph": graph}).raise_for_status()
        _until(lambda: count(http, "running") == tasks)
        kills = [worker.killed() for _ in range(rounds)]
        gaps, memory = [], []
        for _ in range(rounds):
            gaps.append(worker.upgraded())
            memory.append(worker.memory())
        assert count(http, "running") == tasks
        (folder / "go").touch()
        _until(lambda: count(http, "success") == tasks)
        worker.stop()
        page = http.get("/task-instances", params={"limit": 500}).json()
        assert {each["try_number"] for each in page["instances"]} == {1}, page
    return kills, gaps, memory


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(["sleep", "0.1"], check=True)  # noqa: S607 - wherever it is


def floor(rounds: int) -> float:
    """Give the seconds of an interpreter that does nothing."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", ""], check=True)
        times.append(time.perf_counter() - begin)
    return median_and_spread(times)[0]


def main(arguments: list[str]) -> None:
    """Measure and print."""
    tasks, rounds = (50, 3) if "--quick" in arguments else (200, 7)
    rounds = next((int(each.partition("=")[2]) for each in arguments if each.startswith("--rounds=")), rounds)
    lowest = round(floor(rounds), 3)
    kills, gaps, memory = measured(tasks, rounds)
    rows = []
    for name, values in (
        (f"killed worker with {tasks} tasks, until the next has adopted them", kills),
        (f"upgrade of a worker with {tasks} tasks, gap", gaps),
    ):
        middle, spread = median_and_spread(values)
        rows.append(Row(name, "s", round(middle, 3), {"worst": round(max(values), 3)}, lowest, rounds, spread))
    grown = memory[-1] - memory[0]
    name = f"growth of a worker over {rounds - 1} upgrades"
    rows.append(Row(name, "MiB", round(grown, 2), {"first": round(memory[0], 1)}, None, 1, 0.0))
    emit(rows, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
