"""Children that behave badly as processes, one by one, each beside a healthy one.

In each: that attempt ends with a truthful kind, the other does not notice, memory stays bounded, and nothing is left:
no process of the child's tree, no directory, no fd.
"""

import asyncio
import json
import os
import re
import resource
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from protocol.http.workloads import ExecuteTask
from supervisor.outcome import FailureKind, Outcome
from supervisor.records import Record
from tests.supervisor.keeper.world import fds
from tests.system.test_bad_input import MIB, own_rss
from tests.system.world import Stage, play, stage

pytestmark = pytest.mark.slow

ENDLESS = "import threading; threading.Event().wait()"
DAEMON = f"""
import os
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.close(1), os.close(2), os.write(write, b"1")
        {ENDLESS}
    os._exit(0)
os.read(read, 1)
"""
BOMB = "i=0; while [ $i -lt 500 ]; do sleep 100 & i=$((i+1)); done"
LIMITED: dict[str, Any] = {"policy": {"execution_timeout_s": 0.5}}


def left_of(workload: ExecuteTask) -> list[int]:
    """Give the processes that have the attempt's id in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TASKHAND_TI_ID") == str(workload.ti.id):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


async def beside(found: Stage, command: list[str], **more: Any) -> tuple[Record, str]:
    """Make the attempt of a plain program while another one works."""
    found.api.variables["k"] = "v"
    await asyncio.gather(found.run("say.success"), found.run("read.5"))
    descriptors, memory = fds(), own_rss()
    workload = found.workload("t", "plain", command=command, **more)
    record, healthy = await asyncio.gather(found.attempt(workload).run(), found.run("read.50"))
    assert (healthy.outcome, healthy.kind) == (Outcome.SUCCESS, None)
    assert own_rss() - memory < 64 * MIB
    assert fds() <= descriptors + 4  # connections to the API, which are kept
    assert left_of(workload) == []
    assert list((found.settings.state_dir / "tmp").iterdir()) == []
    return record, found.log(workload)


def ended(folder: Path, command: list[str], flags: dict[str, object] | None = None, **more: Any) -> tuple[Record, str]:
    async def scenario() -> tuple[Record, str]:
        async with stage(folder, flags) as found:
            return await beside(found, command, **more)

    return play(scenario())


@pytest.mark.parametrize(
    "command",
    [
        ["sh", "-c", "kill -STOP $$"],
        ["sh", "-c", "trap '' TERM HUP INT; while :; do sleep 100; done"],
        ["sh", "-c", "exec 0<&- 1>&- 2>&-; exec sleep 100"],
    ],
    ids=["stops itself", "ignores SIGTERM", "closes its fds and lives on"],
)
def test_one_that_does_not_end_is_ended(tmp_path: Path, command: list[str]) -> None:
    record, _ = ended(tmp_path, command, **LIMITED)
    assert (record.outcome, record.kind) == (Outcome.FAILED, FailureKind.TIMEOUT)
    assert "its time-out of 0.5 s is over" in record.why


def test_a_daemon_that_forked_twice_is_ended_with_its_attempt(tmp_path: Path) -> None:
    record, _ = ended(tmp_path, [sys.executable, "-S", "-c", DAEMON])
    assert (record.outcome, record.exit) == (Outcome.SUCCESS, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="bounding processes without a pids controller takes an account")
def test_a_fork_bomb_is_bounded_and_ended_with_its_attempt(tmp_path: Path) -> None:
    flags = {"children.user": "nobody", "children.pids": 40}

    async def scenario() -> tuple[Record, str]:
        async with stage(tmp_path, flags) as found:
            (found.settings.state_dir / "tmp").mkdir()  # unused here, and looked into
            return await beside(found, ["sh", "-c", BOMB])

    record, log = play(scenario())
    assert (record.outcome, record.kind) == (Outcome.FAILED, FailureKind.APP)
    assert "fork" in log


def test_a_line_of_100_mb_costs_its_limit(tmp_path: Path) -> None:
    record, log = ended(tmp_path, ["sh", "-c", "head -c 100000000 /dev/zero | tr '\\0' y; echo; echo last"])
    assert record.outcome is Outcome.SUCCESS
    assert len(log) < MIB
    assert '"cut_bytes":' in log
    assert '"last"' in log


FLOOD = """
floods=0
until [ -e "$1" ]; do yes 'a line of a flood' | head -n 50000; floods=$((floods + 1)); done
echo "$floods floods"
"""


def test_a_flood_delays_neither_frames_nor_heartbeats(tmp_path: Path) -> None:
    """It lasts as long as what it could delay, and no longer, however slow the machine is."""

    async def scenario() -> str:
        async with stage(tmp_path) as found:
            found.api.variables["k"] = "v"
            enough = tmp_path / "enough"
            workload = found.workload("t", "plain", command=["sh", "-c", FLOOD, "flood", str(enough)])
            flooding = asyncio.ensure_future(found.attempt(workload).run())
            await found.asked(workload.ti.id, "heartbeat", 2)
            assert (await found.run("read.50")).outcome is Outcome.SUCCESS
            assert not flooding.done()
            enough.touch()
            assert (await flooding).outcome is Outcome.SUCCESS
            return found.log(workload)

    log = play(scenario())
    floods = int(re.findall('"([0-9]+) floods"', log)[0])
    assert log.count("a line of a flood") == floods * 50_000


def test_log_lines_that_are_no_records_are_kept_as_text(tmp_path: Path) -> None:
    async def scenario() -> tuple[Record, str]:
        async with stage(tmp_path) as found:
            workload = found.workload("poison")
            return await found.attempt(workload).run(), found.log(workload)

    record, log = play(scenario())
    assert record.outcome is Outcome.SUCCESS
    for part in ('"[1,2]"', '"event":"no level"', '"msg":"m"', '"invalid_timestamp":1', '"invalid_level":5', '"null"'):
        assert part in log


def test_a_log_that_cannot_be_written_costs_its_lines_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    async def scenario() -> tuple[Record, list[str]]:
        async with stage(tmp_path, {"worker.log_dir": str(tmp_path / "file")}) as found:
            workload = found.workload("t", "plain", command=["sh", "-c", "echo words"])
            return await found.attempt(workload).run(), found.warnings

    record, warnings = play(scenario())
    assert record.outcome is Outcome.SUCCESS
    assert record.reported
    assert any("cannot be written" in warning for warning in warnings)


def test_a_worker_takes_the_fds_that_it_may_have_and_children_get_what_was_usual(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def scenario() -> tuple[list[Record], str]:
        async with stage(tmp_path) as found:
            found.api.variables["k"] = "v"
            records = await asyncio.gather(*(found.run("read.1") for _ in range(30)))
            workload = found.workload("t", "plain", command=["sh", "-c", "ulimit -Sn"])
            await found.attempt(workload).run()
            return records, found.log(workload)

    usual = len(list(Path("/proc/self/fd").iterdir())) + 60  # beside what this process of tests has open already
    resource.setrlimit(resource.RLIMIT_NOFILE, (usual, before[1]))
    try:
        records, log = play(scenario())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert {record.kind for record in records} == {None}
    assert f'"{usual}"' in log


HANGS = """
import threading
from runner import Context, flow, task

def waits() -> None:
    threading.Event().wait()

def hangs() -> None:
    while True: pass

@task
def t(ctx: Context) -> None:
    threading.Thread(target=waits, daemon=True).start()
    hangs()

@flow
def f() -> None:
    t()
"""


def test_whoever_reads_where_a_task_hung_sees_the_task_first(tmp_path: Path) -> None:
    flow = tmp_path / "flow.py"
    flow.write_text(HANGS)

    async def scenario() -> list[str]:
        async with stage(tmp_path / "state", {"keeper.entry": "runner.child:main"}) as found:
            workload = found.workload("t", dag_rel_path=str(flow)[1:], **LIMITED)
            await found.attempt(workload).run()
            lines = [json.loads(line) for line in found.log(workload).splitlines()]
            return [line["event"] for line in lines if line["source"] == "stderr"]

    dump = play(scenario())
    assert dump[0].startswith("Current thread 0x")
    assert dump[1:3] == [f'  File "{flow}", line 9 in hangs', f'  File "{flow}", line 14 in t']
    assert re.fullmatch(r"  … \d+ frames of Taskhand's, which led to the task, left out …", dump[3])
    assert f'  File "{flow}", line 6 in waits' in dump[4:]
    assert not [line for line in dump if "/supervisor/" in line or "/runner/" in line]
