"""What a no-op attempt costs, in counts that are the same on a slow machine: requests, questions, pages, modules.

The bounds have slack for another Python or libc; who has to raise one has made every attempt dearer, and says why.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.attempt import FLOW
from supervisor.records import Record
from tests.architecture.layout import ROOT
from tests.system.world import play, stage

pytestmark = pytest.mark.slow

ATTEMPTS = 20
RUNNER = {"keeper.entry": "runner.child:main", "limits.heartbeat_s": 10.0, "api.timeout_s": 30.0}


def faults_of_children(pid: int) -> int:
    """Give the minor page faults of the children that a process has collected."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[8])


def test_a_no_op_attempt_is_two_requests_one_question_and_few_pages(tmp_path: Path) -> None:
    flow = tmp_path / "flow.py"
    flow.write_text(FLOW)

    async def scenario() -> tuple[list[str], list[Record], float]:
        async with stage(tmp_path / "state", RUNNER) as found:
            await found.run("noop", dag_rel_path=str(flow)[1:])
            found.api.calls.clear()
            [keeper] = found.office.keeper.keeper_pids
            before = faults_of_children(keeper)
            records = [await found.run("noop", dag_rel_path=str(flow)[1:]) for _ in range(ATTEMPTS)]
            faults = (faults_of_children(keeper) - before) / ATTEMPTS
            return [call.path.rpartition("/")[2] for call in found.api.calls], records, faults

    calls, records, faults = play(scenario())
    assert calls == ["run", "state"] * ATTEMPTS
    assert {(record.outcome, record.questions) for record in records} == {("success", 1)}
    assert faults < 850, "725 when this was written; without the keeper's rehearsal, some 200 more"


@pytest.mark.parametrize(
    ("module", "most", "absent"),
    [
        ("supervisor.keeper.__main__", 150, {"argparse", "asyncio", "logging", "subprocess", "threading"}),
        ("runner.child", 200, {"argparse", "asyncio", "hashlib", "httpx", "socket", "ssl", "subprocess", "tempfile"}),
        ("supervisor.cli", 130, {"asyncio", "httpx", "rich", "ssl"}),
    ],
)
def test_an_entry_point_imports_little(module: str, most: int, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    imported = {*done.stdout.split()}
    assert imported & absent == set()
    assert len(imported) < most, sorted(imported)
