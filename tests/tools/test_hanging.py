"""A test that hangs ends, also when it ended the timer by which pytest ends it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.layout import ROOT

HANGS = """
import signal
import threading

import pytest

@pytest.mark.timeout(2)
def test_that_hangs():
    signal.setitimer(signal.ITIMER_REAL, 0)
    threading.Event().wait()

def test_beside_it():
    pass
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_test_that_ends_its_own_time_out_is_ended_and_named(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(HANGS)
    options = ["-p", "tests.conftest", "-c", "pyproject.toml", "-n", "1", "--color=no", "-p", "no:schemathesis"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(file)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "crashed while running" in done.stdout
    assert "test_that_hangs" in done.stdout
    assert "Timeout (0:00:03)!" in done.stderr
    assert "in test_that_hangs" in done.stderr
