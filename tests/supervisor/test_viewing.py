"""The live view of the demo, in a terminal of its own, before a real server."""

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.layout import ROOT
from tests.server.http.live import serving

pytestmark = pytest.mark.slow

WATCH = """
import sys
from pathlib import Path
from supervisor.touring import Seen
from supervisor.viewing import View

with View(Path(sys.argv[1])) as view:
    view.tell("a job begins")
    view.show([Seen("a claim", "seen", True), Seen("another", "not seen", False)])
    sys.stdin.readline()
print("over")
"""


def test_it_shows_what_runs_and_that_the_server_is_away(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    shown = b""

    def until(word: bytes) -> None:
        nonlocal shown
        while word not in shown:
            assert select.select([ours], [], [], 30)[0], shown
            shown += os.read(ours, 65536)

    with serving(tmp_path / "home") as server:
        running = server.attempt({"task_id": "long"})
        command = [sys.executable, "-c", WATCH, str(server.home)]
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=theirs) as process:
            os.close(theirs)
            assert process.stdin is not None
            until(f"{running.ti['dag_id']}/long".encode())
            for word in (b"running", b"a job begins", b"a claim", b"FALSE"):
                until(word)
            server.process.kill()
            until(b"the server does not answer")
            process.stdin.write(b"\n")
            process.stdin.flush()
            until(b"over")
            assert process.wait(10) == 0
    os.close(ours)
