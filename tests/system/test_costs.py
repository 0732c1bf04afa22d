"""What a no-op attempt costs, in counts that are the same on a slow machine: requests, questions, pages, modules.

The bounds have slack for another Python or libc; who has to raise one has made every attempt dearer, and says why.
"""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec import structs

from bench.attempt import FLOW
from supervisor.records import Record
from tests.architecture.layout import ROOT
from tests.supervisor.test_journal_writer import writing
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
