"""The tour is what a newcomer runs first, so it is run as one would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.touring import Tour

pytestmark = pytest.mark.slow


def demo(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supervisor", "demo", *flags],
        env={**os.environ, "TMPDIR": str(folder), "TASKHAND_SERVER": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )


def test_every_claim_is_true_and_nothing_is_left(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout.partition("\n\n")[2].splitlines()
    assert len(table) == 9
    assert all(line.startswith("true ") for line in table)
    assert list(tmp_path.iterdir()) == []
    assert not [entry for entry in Path("/proc").glob("[0-9]*/environ") if str(tmp_path).encode() in read(entry)]


def read(entry: Path) -> bytes:
    try:
        return entry.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def test_a_demo_that_cannot_be_given_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(Exception, match=r"worker submit .*nowhere.py:tour"):
        Tour(tmp_path, str(tmp_path / "nowhere.py"), said.append).run()
    assert said[:2] == ["a server is ready, with its own database", "a worker is ready"]
    assert not [entry for entry in Path("/proc").glob("[0-9]*/environ") if str(tmp_path).encode() in read(entry)]
