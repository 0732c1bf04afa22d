"""The minimal API in a process of its own, so that its cost is not counted as ours."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def minimal_api(module: str = "bench.minimal_api") -> Iterator[str]:
    """Give its URL; it ends with the block."""
    process = subprocess.Popen([sys.executable, "-m", module], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
