"""Takes the addresses out of uv.lock, and leaves names, versions and hashes.

`uv lock` writes the address of the index and of each file. Which index a machine uses is the machine's business; what
is installed is the lock's, and the hashes decide that. docs/decisions/0002 tells what was tried and measured.
"""

import re
from pathlib import Path

LOCK = Path(__file__).parent.parent / "uv.lock"
SOURCE = re.compile(r'registry = "https?://[^"]*"')
FILE = re.compile(r'\burl = "https?://[^"]*/([^/"]+)"')


def without_hosts(lock: str) -> str:
    """Write the index as a folder, whose files are named by path: the one form uv accepts that needs no address."""
    return FILE.sub(r'path = "\1"', SOURCE.sub('registry = "index"', lock))


if __name__ == "__main__":
    LOCK.write_text(without_hosts(LOCK.read_text()))
