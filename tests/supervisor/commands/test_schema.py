import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.layout import ROOT


def worker(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "supervisor", "schema", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_it_prints_the_document() -> None:
    assert json.loads(worker().stdout)["api_version"] == "2026-10-30"


@pytest.mark.slow
def test_the_file_in_the_repository_is_up_to_date() -> None:
    done = worker("--check")
    assert (done.returncode, done.stdout) == (0, "schema.json: up to date\n")


@pytest.mark.slow
def test_it_writes_a_file_that_it_then_finds_up_to_date_until_it_is_changed(tmp_path: Path) -> None:
    absent = worker("--check", "s.json", folder=tmp_path)
    assert absent.returncode == 1
    assert "s.json does not exist; `worker schema --write s.json` makes it" in absent.stderr
    assert worker("--write", "s.json", folder=tmp_path).stdout == "s.json: written\n"
    assert worker("--check", "s.json", folder=tmp_path).returncode == 0
    tmp_path.joinpath("s.json").write_text("{}")
    stale = worker("--check", "s.json", folder=tmp_path)
    assert stale.returncode == 1
    assert "is not what this version says" in stale.stderr


@pytest.mark.slow
def test_looking_and_writing_exclude_each_other() -> None:
    done = worker("--check", "--write")
    assert done.returncode == 2
    assert "one only looks" in done.stderr
