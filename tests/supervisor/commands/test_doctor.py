"""The doctor in a real process, in this installation and in ones made sick on purpose."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from supervisor.diagnosis import Finding, Level
from supervisor.extras import OURS

pytestmark = pytest.mark.slow


class Report(msgspec.Struct):
    findings: list[Finding]


def doctor(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    # Any function will do for an entry: the doctor has the keeper import it, and nobody calls it.
    environment = os.environ | {"TASKHAND_KEEPER_ENTRY": "builtins:print"} | ({"PYTHONPATH": str(path)} if path else {})
    command = [sys.executable, "-P", "-m", "supervisor", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in msgspec.json.decode(done.stdout, type=Report).findings}


def test_this_installation_is_well() -> None:
    done = doctor("--json")
    found = findings(done)
    assert done.returncode == 0, done.stdout
    assert {found[package].message for package in OURS} == {"ours"}
    noted = {subject for subject, finding in found.items() if finding.level is Level.NOTE}
    assert noted <= {"execution API", "control groups", "keeper"}


def test_lines_are_plain_in_a_pipe() -> None:
    done = doctor()
    assert "\x1b" not in done.stdout
    assert {line.split()[0] for line in done.stdout.splitlines()} <= {"ok", "note"}


def test_another_distribution_that_owns_a_package_of_ours_is_found(tmp_path: Path) -> None:
    metadata = tmp_path / "supervisor-4.3.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: supervisor\nVersion: 4.3.0\n")
    (metadata / "top_level.txt").write_text("supervisor\n")
    done = doctor("--json", path=tmp_path)
    assert done.returncode == 1
    assert findings(done)["supervisor"].level is Level.PROBLEM
    assert "also installed by supervisor" in findings(done)["supervisor"].message


def test_a_package_that_shadows_one_of_ours_is_found(tmp_path: Path) -> None:
    (tmp_path / "protocol").mkdir()
    (tmp_path / "protocol" / "__init__.py").touch()
    done = doctor("--json", path=tmp_path)
    assert done.returncode == 1
    assert f"found in {tmp_path}" in findings(done)["protocol"].message


def test_an_absent_extra_is_noted_and_no_reason_to_fail(tmp_path: Path) -> None:
    # The child's search path is this one's without what is installed, and then only what a bare installation has.
    for name in ("click", "msgspec", "psutil", "httpx", "rich", "sniffio", "structlog", *OURS):
        [spec] = [Path(folder) / name for folder in sys.path if (Path(folder) / name).is_dir()][:1]
        (tmp_path / name).symlink_to(spec)
    command = [sys.executable, "-S", "-P", "-m", "supervisor", "doctor", "--json"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "TASKHAND_KEEPER_ENTRY": "builtins:print"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert findings(done)["extra server"].level is Level.NOTE
    assert "litestar" in findings(done)["extra server"].message
