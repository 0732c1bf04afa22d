"""What a no-op attempt costs, in counts that are the same on a slow machine: requests, frames, system calls, pages.

The bounds have slack for another Python or libc; who has to raise one has made every attempt dearer, and says why.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from pathlib import Path
from statistics import median_low
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec import structs

from bench.attempt import FLOW
from bench.minimal_api import MinimalApi
from supervisor.records import Record
from tests.architecture.layout import ROOT
from tests.supervisor.test_journal_writer import writing
from tests.system.test_commands import workload
from tests.system.tracer import REFUSED
from tests.system.world import measured, play, stage

pytestmark = pytest.mark.slow

ATTEMPTS = 20
RUNNER = {"keeper.entry": "runner.child:main", "limits.heartbeat_s": 10.0, "api.timeout_s": 30.0}


class Cost(NamedTuple):
    """What some attempts came to; the faults are those of one."""

    calls: list[str]
    records: list[Record]
    keepers_faults: float
    childs_faults: float


def faults_of(pid: int) -> tuple[int, int]:
    """Give the minor page faults of a process, and of the children that it has collected."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[7]), int(fields[8])


def cost(tmp_path: Path, **flags: object) -> Cost:
    """Make some no-op attempts, one after the other, and count."""
    flow = tmp_path / "flow.py"
    flow.write_text(FLOW)

    async def scenario() -> Cost:
        async with stage(tmp_path / "state", RUNNER | flags) as found:
            await found.run("noop", dag_rel_path=str(flow)[1:])
            found.api.calls.clear()
            [keeper] = found.office.keeper.keeper_pids
            before = faults_of(keeper)
            records = [await found.run("noop", dag_rel_path=str(flow)[1:]) for _ in range(ATTEMPTS)]
            mine, theirs = ((after - first) / ATTEMPTS for after, first in zip(faults_of(keeper), before, strict=True))
            return Cost([call.path.rpartition("/")[2] for call in found.api.calls], records, mine, theirs)

    return play(scenario())


def test_a_no_op_attempt_is_two_requests_one_question_and_few_pages(tmp_path: Path) -> None:
    found = cost(tmp_path)
    measured(f"page faults of a no-op attempt: {found.childs_faults} child, {found.keepers_faults} keeper")
    assert found.calls == ["run", "state"] * ATTEMPTS
    assert {(record.outcome, record.questions) for record in found.records} == {("success", 1)}
    assert found.childs_faults < 700, "640 when this was written; without the keeper's rehearsals, some 250 more"
    assert found.keepers_faults < 360, "280 to 310 when this was written; with an ExitStack for each fork, 20 more"


def test_a_flow_that_is_preloaded_is_a_hundred_pages_less(tmp_path: Path) -> None:
    found = cost(tmp_path, **{"keeper.preload": (str(tmp_path / "flow.py"),)})
    measured(f"page faults of a no-op attempt, preloaded: {found.childs_faults} child")
    assert found.childs_faults < 590, "530 when this was written"


def test_a_no_op_attempt_is_written_down_in_few_bytes(tmp_path: Path) -> None:
    flow = tmp_path / "flow.py"
    flow.write_text(FLOW)

    async def scenario() -> tuple[float, float]:
        async with stage(tmp_path / "state", RUNNER) as found, writing(tmp_path / "journal", limit=2**20) as journal:
            found.office = structs.replace(found.office, journal=journal)
            before, commits = journal.written, journal.commits
            for _ in range(ATTEMPTS):
                await found.run("noop", dag_rel_path=str(flow)[1:])
        return (journal.written - before) / ATTEMPTS, (journal.commits - commits) / ATTEMPTS

    written, commits = play(scenario())
    measured(f"the journal of a no-op attempt: {written} bytes, {commits} waits for the disk")
    assert written < 520, "443 when this was written"
    assert commits <= 1


Calls = dict[str, int]
MOST: dict[str, Calls] = {
    "worker": {"all": 170, "read": 18, "write": 15},
    "keeper": {"all": 60, "read": 6, "write": 4},
    "child": {"all": 52, "read": 4, "write": 1},
}
"""When this was written: 136 to 163, 52 and 50, of which the reads 15 to 17, 6 and 4, and the writes 15, 4 and 1 in
every run, on a machine with nine times the work that it could do. One write more for each attempt, anywhere, is seen.
"""


async def traced(folder: Path) -> list[dict[str, Any]]:
    """Have a worker make some no-op attempts, one after the other: its processes, and what each called."""
    flow, report = folder / "flow.py", folder / "report.json"
    flow.write_text(FLOW)
    api = MinimalApi()
    url = await api.start()
    given = [workload(api, number, task_id="noop", dag_rel_path=str(flow)[1:]) for number in range(1, ATTEMPTS + 1)]
    worker = ["-m", "supervisor", "run", "--source", "stdin", "--slots", "1", "--api", url]
    command = ["-m", "tests.system.tracer", str(report), sys.executable, *worker, "--state-dir", str(folder / "state")]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environ, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=folder
    )
    _, err = await process.communicate(b"\n".join(map(msgspec.json.encode, given)))
    await api.stop()
    if process.returncode == REFUSED:
        pytest.skip(err.decode())
    assert process.returncode == 0, err.decode()
    assert [call.path.rpartition("/")[2] for call in api.calls].count("state") == ATTEMPTS
    found: list[dict[str, Any]] = json.loads(report.read_text())
    return found


def usual(every: list[Calls]) -> Calls:
    """Give the median of each kind, and of all but those that wait."""
    for each in every:
        each["all"] = sum(each.get(kind, 0) for kind in ("read", "write", "open", "other"))
    return {kind: median_low(each.get(kind, 0) for each in every) for kind in ("all", "read", "write")}


def test_a_no_op_attempt_is_three_frames_and_so_many_system_calls(tmp_path: Path) -> None:
    processes = play(traced(tmp_path))
    worker = processes[0]["pid"]
    [keeper] = [each["pid"] for each in processes if "supervisor.keeper" in each["executes"]]
    children = [each for each in processes if each["parent"] == keeper]
    assert len(children) == ATTEMPTS
    # Between two births lies one attempt; the first few are not like the others, for they make what is kept.
    pairs = [*itertools.pairwise(each["began"] for each in children)][3:]
    costs = {
        name: usual([dict(Counter(after[str(pid)]) - Counter(before[str(pid)])) for before, after in pairs])
        for name, pid in (("worker", worker), ("keeper", keeper))
    }
    costs["child"] = usual([each["calls"] for each in children[3:]])
    measured(f"system calls of a no-op attempt: {costs}")
    assert {(each["calls"]["frames read"], each["calls"]["frames write"]) for each in children} == {(2, 1)}
    for name, most in MOST.items():
        assert {kind: count for kind, count in costs[name].items() if count > most[kind]} == {}, (name, costs[name])


@pytest.mark.parametrize(
    ("module", "most", "absent"),
    [
        ("supervisor.keeper.__main__", 150, {"argparse", "asyncio", "logging", "subprocess", "threading"}),
        ("runner.child", 200, {"argparse", "asyncio", "hashlib", "httpx", "socket", "ssl", "subprocess", "tempfile"}),
        ("supervisor.cli", 130, {"asyncio", "httpx", "rich", "ssl"}),
        ("supervisor.worker", 330, {"email", "http.client", "httpx", "rich", "runner", "server", "urllib.request"}),
    ],
)
def test_an_entry_point_imports_little(module: str, most: int, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    imported = {*done.stdout.split()}
    assert imported & absent == set()
    assert len(imported) < most, sorted(imported)
