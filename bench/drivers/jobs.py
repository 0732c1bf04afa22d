"""The two jobs, for who takes functions: one does nothing, one leaves a file and sleeps."""

import os
import signal
from pathlib import Path


def noop() -> None:
    """Do nothing."""


def sleeps(folder: str) -> None:
    """Leave a file named after this process, and sleep."""
    Path(folder, str(os.getpid())).touch()
    signal.pause()
