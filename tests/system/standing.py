"""`worker up` in a folder of its own, for tests that do what a page says."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.architecture.layout import ROOT

PATIENCE_S = 50


class Standing:
    """A server and a worker that stand ready, and `worker` for whoever calls it in their folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = {name: value for name, value in os.environ.items() if not name.startswith("TASKHAND_")}
        self.environment = own | {"TASKHAND_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}

    def worker(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "supervisor", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def run_of(self, target: str, *options: str) -> dict[str, Any]:
        """Submit a flow and wait for its end; gives the run."""
        done = self.worker("submit", target, "--wait", "--json", *options)
        assert done.returncode in {0, 1}, done.stderr
        found: dict[str, Any] = msgspec.json.decode(done.stdout)
        return found

    def log_of(self, ti: str) -> str:
        return self.worker("logs", "-f", ti).stdout


@contextlib.contextmanager
def standing(folder: Path) -> Iterator[Standing]:
    """Start both, wait until they say that they are ready, and end them."""
    found = Standing(folder)
    command = [sys.executable, "-m", "supervisor", "up", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, env=found.environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        try:
            for line in process.stderr:
                said += line
                if "up: ready" in line:
                    yield found
                    break
            else:
                raise AssertionError(said)
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE_S)
