"""Children without frames: what they are given, and when they are begun."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bench.minimal_api import Answer
from supervisor.outcome import FailureKind, Outcome
from supervisor.records import Record
from tests.system.checkpoints.worlds import world
from tests.system.world import on, play, stage

pytestmark = pytest.mark.slow

BINDINGS = [
    {"kind": "literal", "name": "count", "value": 3},
    {"kind": "xcom", "name": "rows", "task_id": "up"},
    {"kind": "mapped", "name": "row", "task_id": "up"},
]


def made(folder: Path, index: int, returned: Any) -> tuple[Record, str]:
    async def scenario() -> tuple[Record, str]:
        async with stage(folder) as found:
            found.api.xcoms["d/r/up/return_value"] = returned
            command = ["sh", "-c", 'echo "$TASKHAND_ARG_COUNT $TASKHAND_ARG_ROWS $TASKHAND_ARG_ROW"']
            workload = found.workload("t", "plain", command=command, context={"arg_bindings": BINDINGS})
            workload = replace(workload, ti=replace(workload.ti, map_index=index))
            record = await found.attempt(workload).run()
            return record, found.log(workload)

    return play(scenario())


def test_arguments_are_in_the_environment_as_json(tmp_path: Path) -> None:
    record, log = made(tmp_path, 1, ["a", "b"])
    assert record.outcome is Outcome.SUCCESS
    assert '3 [\\"a\\",\\"b\\"] \\"b\\"' in log


@pytest.mark.parametrize("returned", [["a"], "text"])
def test_an_item_that_is_not_there_is_a_fault_at_the_start(tmp_path: Path, returned: Any) -> None:
    record, log = made(tmp_path, 5, returned)
    assert (record.outcome, record.kind, record.exit) == (Outcome.FAILED, FailureKind.BOOT, None)
    assert "row: up returned no item 5" in log


def test_the_timeline_calls_the_workers_pid_so_and_the_log_has_the_programs(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        place.submit({"task_id": "t", "runtime": "plain", "command": ["sh", "-c", "echo I am $$"]})
        machine = place.machine()
        assert place.end() == "success"
        [began] = [event["why"] for event in place.story("t") if event["what"] == "run"]
        assert began == f"started on {socket.gethostname()} by worker {machine.process.pid}"
        [log] = (tmp_path / "state" / "worker-logs").rglob("1-*.jsonl")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    [pid] = [line["pid"] for line in lines if line["event"] == "the program runs"]
    assert f"I am {pid}" in [line["event"] for line in lines]


def test_one_that_the_server_refuses_never_begins(tmp_path: Path) -> None:
    async def scenario() -> bool:
        async with stage(tmp_path) as found:
            mark = tmp_path / "mark"
            workload = found.workload("t", "plain", command=["touch", str(mark)])
            found.api.states[str(workload.ti.id)] = "success"
            record = await found.attempt(workload).run()
            assert record.outcome is Outcome.NOT_STARTED
            return mark.exists()

    assert not play(scenario())


def test_one_that_is_stopped_with_something_in_its_checkpoint_directory_is_checkpointed(tmp_path: Path) -> None:
    async def scenario() -> Record:
        async with stage(tmp_path) as found:
            code = 'echo 7 > "$TASKHAND_CHECKPOINT_DIR/step"; exec sleep 100'
            workload = found.workload("t", "plain", command=["sh", "-c", code])
            stop = Answer(204, headers=(("Taskhand-Stop", "evict"),))
            found.api.faults.append(on("heartbeat", stop, workload.ti.id))
            return await found.attempt(workload).run()

    assert play(scenario()).outcome is Outcome.CHECKPOINTED


def test_that_the_directory_of_one_that_is_over_is_not_kept_is_no_remark(tmp_path: Path) -> None:
    async def scenario() -> tuple[Record, list[str]]:
        async with stage(tmp_path) as found:
            code = 'echo 7 > "$TASKHAND_CHECKPOINT_DIR/step"; exec sleep 100'
            workload = found.workload("t", "plain", command=["sh", "-c", code])
            over = Answer(409, {"detail": {"reason": "not_running", "message": "it is failed"}})
            put = on("checkpoint", over, workload.ti.id)
            found.api.faults.append(on("heartbeat", over, workload.ti.id))
            found.api.faults.append(lambda call: put(call) if call.method == "PUT" else None)
            record = await found.attempt(workload).run()
            return record, found.api.remarks.get(str(record.ti_id), [])

    record, remarks = play(scenario())
    assert (record.outcome, remarks) == (Outcome.SERVER_TERMINATED, [])
