"""A cold `worker exec` of one workload that does nothing, from its start as a process to its exit.

Wall time, and CPU of everything it started. The floor is a bare interpreter; the peer is Airflow 3.3.2's own supervisor
in a process for one task. `python -m bench.exec [--quick] [--json]`.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.attempt import workload
from bench.contenders import airflow_environ
from bench.drivers.on_airflow import workload as airflow_workload
from bench.environments import AIRFLOW
from bench.harness import Row, emit, median_and_spread
from bench.serving import minimal_api

ENTRY = "bench.noop:main"
EXECUTE = (str(AIRFLOW), "-m", "airflow.sdk.execution_time.execute_workload", "--json-string")
"""What an executor of Airflow's starts in a container, for one task."""
EACH = 5
"""Airflow's takes seconds, so it has a turn in each fifth round."""


def timed(command: list[str], environ: dict[str, str]) -> tuple[float, float, str]:
    """Give wall and CPU milliseconds of a command, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    wall = (time.perf_counter() - begin) * 1e3
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu * 1e3, done.stdout


def _environ() -> dict[str, str]:
    """Give ours, in which Python keeps what it compiles, as it does wherever a program is installed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def executing(url: str, folder: str, make: Callable[[], dict[str, object]]) -> tuple[float, float]:
    """Carry out one workload in a process of its own."""
    entry = {"TASKHAND_KEEPER_ENTRY": ENTRY, "PYTHONPATH": os.getcwd()}  # noqa: PTH109 - for another process's path
    command = [sys.executable, "-m", "supervisor", "exec", "--json-string", json.dumps(make()), "--api", url]
    wall, cpu, out = timed([*command, "--state-dir", folder, "--json"], {**_environ(), **entry})
    assert json.loads(out)["outcome"] == "success"
    return wall, cpu


def airflow(url: str, home: Path) -> tuple[float, float]:
    """Carry one out as Airflow does in a process that is started for it, with its own supervisor."""
    home.mkdir()
    environ = airflow_environ(url, home)
    given = json.dumps(airflow_workload("noop"))
    wall, cpu, out = timed([*EXECUTE, given], environ)
    assert '"final_state":"success"' in out, out[-2000:]
    return wall, cpu


def main(arguments: list[str]) -> None:
    """Measure and print."""
    runs = 5 if "--quick" in arguments else 15
    kinds: dict[str, Callable[[], dict[str, object]]] = {
        "plain": lambda: workload("t", runtime="plain", command=["true"]),
        "python": lambda: workload("say.success"),
    }
    walls: dict[str, list[float]] = {name: [] for name in kinds}
    cpus: dict[str, list[float]] = {name: [] for name in kinds}
    bare: list[float] = []
    theirs: tuple[list[float], list[float]] = ([], [])
    with minimal_api() as url, tempfile.TemporaryDirectory() as folder:
        for make in kinds.values():
            executing(url, folder, make)  # the first compiles
        for number in range(runs):
            if not number % EACH and AIRFLOW.exists():
                for found, value in zip(theirs, airflow(url, Path(folder, f"airflow-{number}")), strict=True):
                    found.append(value)
            bare.append(timed([sys.executable, "-c", ""], dict(os.environ))[0])
            for name, make in kinds.items():
                wall, cpu = executing(url, folder, make)
                walls[name].append(wall)
                cpus[name].append(cpu)
    floor = round(median_and_spread(bare)[0], 1)
    rows = []
    for name in kinds:
        for what, found in (("wall", walls[name]), ("CPU", cpus[name])):
            middle, spread = median_and_spread(found)
            measured = theirs[what == "CPU"] if name == "python" else []
            peers: dict[str, float] = (
                {"Airflow's execute_workload": round(median_and_spread(measured)[0])} if measured else {}
            )
            rows.append(Row(f"cold exec, {name}, {what}", "ms", round(middle, 1), peers, floor, runs, spread))
    emit(rows, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
