"""Where the peers live: environments of their own, made by tools/interop.sh, because their versions contradict ours."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
INTEROP = Path(os.environ.get("TASKHAND_INTEROP", ROOT / ".interop")).resolve()
AIRFLOW = INTEROP / "1.3.2" / "bin" / "python"
"""Has Airflow 3.3.2, whose Task SDK is 1.3.2."""
QUEUES = INTEROP / "queues" / "bin" / "python"
"""Has Celery and RQ."""


def version(python: Path, package: str) -> str:
    """Give the version of a package in another environment."""
    source = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", source], check=True, capture_output=True, text=True)
    return done.stdout.strip()
