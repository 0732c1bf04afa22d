"""The peers, as processes: each lives in an environment of its own, so we speak with it and never import it."""

import subprocess
from pathlib import Path

from tests.architecture.layout import ROOT

# Each version of Airflow's Task SDK that `make interop` installs.
VERSIONS = sorted(file.stem for file in Path(__file__).parent.joinpath("requirements").glob("*.txt"))


def python_of(version: str) -> Path:
    """Give the interpreter that has this version of the peer."""
    python = ROOT / ".interop" / version / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(f"{python}: `make interop` makes it")
    return python


def run_in(version: str, source: str) -> str:
    """Run a piece of Python beside the peer and give what it printed; its complaints are the failure's message."""
    done = subprocess.run([python_of(version), "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
