"""The tour is what a newcomer runs first, so it is run as one would: in a pipe, and in a terminal."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.programs import ProgramFailed
from supervisor.touring import Tour
from tests.architecture.pages import code

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

COMMAND = [sys.executable, "-m", "supervisor", "demo", "--quick"]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "TASKHAND_SERVER": "http://127.0.0.1:1", "TERM": "xterm-256color"}


def nothing_is_left(folder: Path) -> bool:
    return not [entry for entry in Path("/proc").glob("[0-9]*/environ") if str(folder).encode() in read(entry)]


def read(entry: Path) -> bytes:
    try:
        return entry.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def test_every_claim_is_true_and_nothing_is_left(tmp_path: Path) -> None:
    done = subprocess.run(COMMAND, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=360)
    assert done.returncode == 0, done.stdout + done.stderr
    lines, _, table = done.stdout.partition("\n\n")
    assert "\x1b" not in done.stdout
    assert all(line[5:9] == " s  " for line in lines.splitlines())
    assert all(line.startswith("true ") for line in table.splitlines())
    [shown] = code("README.md", "text")
    assert claims(shown.partition("\n\n")[2]) == claims(table)
    assert list(tmp_path.iterdir()) == []
    assert nothing_is_left(tmp_path)


def claims(table: str) -> list[str]:
    return [re.split(" {2,}", line)[1] for line in table.splitlines()]


@pytest.mark.soak
def test_a_terminal_shows_it_live(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(COMMAND, env=environment(tmp_path), stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # how a terminal says that the other end is gone
            pass
        os.close(ours)
        assert process.wait(10) == 0, shown[-3000:].decode()
    assert b"TASK" in shown
    assert b"running" in shown
    assert b"the server does not answer" in shown
    assert b"FALSE" not in shown
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_cannot_be_given_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(ProgramFailed, match=r"worker submit .*nowhere.py:tour"):
        Tour(tmp_path, str(tmp_path / "nowhere.py"), said.append).run()
    assert said[:2] == ["a server is ready, with its own database", "a worker is ready"]
    assert nothing_is_left(tmp_path)
