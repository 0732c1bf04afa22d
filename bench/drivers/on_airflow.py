"""Airflow's LocalExecutor, as its scheduler holds it: workers forked with everything imported, a supervisor a task.

`python -m bench.drivers.on_airflow SLOTS`, by the Python of an environment with Airflow in it; where the execution API
is and where the Dags are, its configuration says (`AIRFLOW__…` in the environment).
"""

import os
import sys
import threading
import uuid
from importlib import import_module
from typing import Any

from bench.drivers.talk import Work, serve, take_stdout

DAG = """import os, signal
from airflow.sdk import dag, task

@dag(schedule=None)
def d():
    @task
    def noop():
        pass

    @task
    def sleeps():
        open(os.environ["RAN"] + "/" + str(os.getpid()), "w").close()
        signal.pause()

    noop()
    sleeps()

d()
"""
EVERY_S = 0.005


def workload(task_id: str) -> dict[str, Any]:
    """Give a workload as the scheduler would make it."""
    ti = {"id": str(uuid.uuid4()), "task_id": task_id, "dag_id": "d", "run_id": "r", "try_number": 1, "map_index": -1}
    ti |= {"dag_version_id": str(uuid.uuid4()), "pool_slots": 1, "queue": "default", "priority_weight": 1}
    bundle = {"name": "dags-folder", "version": None}
    place = {"dag_rel_path": "flow.py", "bundle_info": bundle, "log_path": f"{ti['id']}.log"}
    return {"type": "ExecuteTask", "ti": ti, "token": "t", **place}


class Executor:
    """One LocalExecutor."""

    def __init__(self, slots: int) -> None:
        import_module("airflow.sdk.execution_time.task_runner")  # what a scheduler that has run a task has imported
        self._make = import_module("airflow.executors.workloads").ExecuteTask.model_validate
        self._executor = import_module("airflow.executors.local_executor").LocalExecutor(parallelism=slots)
        self._executor.start()

    def prepare(self, count: int, task_id: str = "noop") -> list[Any]:
        """Make workloads; the run has to be another for each, because the executor knows a task by it."""
        made = [workload(task_id) for _ in range(count)]
        for each in made:
            each["ti"]["run_id"] = each["ti"]["id"]
        return [self._make(each) for each in made]

    def go(self, workloads: list[Any]) -> None:
        """Hand out, and hear until all have ended."""
        ended = self._executor.event_buffer
        ended.clear()
        self._hand_out(workloads)
        pause = threading.Event()
        while sum(state == "success" for state, _ in ended.values()) < len(workloads):
            assert not any(state == "failed" for state, _ in ended.values()), ended
            pause.wait(EVERY_S)
            self._executor.sync()

    def sleep(self, count: int) -> None:
        """Hand out what sleeps."""
        self._hand_out(self.prepare(count, "sleeps"))

    def _hand_out(self, workloads: list[Any]) -> None:
        for each in workloads:
            self._executor.queued_tasks[each.key] = each
        self._executor._process_workloads(workloads)  # noqa: SLF001 - what the scheduler's heartbeat calls


if __name__ == "__main__":
    stdout = take_stdout()
    executor = Executor(int(sys.argv[1]))
    serve(stdout, os.getpid(), Work(executor.prepare, executor.go, executor.sleep))
