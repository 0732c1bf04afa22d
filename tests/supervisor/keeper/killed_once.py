"""An entry whose first keeper is killed while it imports it, as by somebody who frees memory."""

import os
import signal
from pathlib import Path

first = Path(os.environ["KILLED_ONCE"])
if not first.exists():
    first.touch()
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Do nothing."""
