"""The peers, as processes: each lives in an environment of its own, so we speak with it and never import it."""

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.architecture.layout import ROOT

# Each version of Airflow's Task SDK that `make interop` installs.
VERSIONS = sorted(file.stem for file in Path(__file__).parent.joinpath("requirements").glob("*.txt"))

# The wire version that each speaks; test_schema holds this to what the peer itself says.
WIRE = {"1.3.2": "2026-06-16", "1.4.0b2": "2026-10-30"}


def python_of(version: str) -> Path:
    """Give the interpreter that has this version of the peer."""
    python = ROOT / ".interop" / version / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(f"{python}: `make interop` makes it")
    return python


def installed_in(version: str) -> Path:
    """Give the folder that this version's packages are installed in."""
    (folder,) = python_of(version).parent.parent.glob("lib/python3*/site-packages")
    return folder


def run_in(version: str, source: str) -> str:
    """Run a piece of Python beside the peer and give what it printed; its complaints are the failure's message."""
    done = subprocess.run([python_of(version), "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Peer:
    """The program of `tests/interop/peer`, run by the peer's interpreter."""

    def __init__(self, version: str, home: Path) -> None:
        self.version = version
        self.wire = WIRE[version]
        self._log = home / "stderr"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AIRFLOW_HOME": str(home),
            # One try a request: a refusal is a refusal at once, and no test waits for a back-off.
            "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "1",
        }
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python_of(version), "-m", "tests.interop.peer"],
                cwd=home,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate(timeout=30)

    def tell(self, do: str, **more: object) -> None:
        """Have it begin something; `hear` gives what came of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Give what came of the last thing it was told."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the peer ended:\n{self._log.read_text()[-4000:]}"
        told = json.loads(line)
        assert "fault" not in told, told["fault"]
        return told["came"]

    def do(self, do: str, **more: object) -> Any:
        """Have it do something that needs nothing more from us."""
        self.tell(do, **more)
        return self.hear()
