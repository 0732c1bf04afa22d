"""A Redis for the peers that need a broker, on a Unix socket, keeping nothing on disk: as cheap for them as it gets."""

import contextlib
import os
import select
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.environments import INTEROP

UNPACKED = INTEROP / "redis" / "usr"


def program() -> tuple[str, dict[str, str]] | None:
    """Give the machine's redis-server, or the one that tools/interop.sh unpacked, and what its start needs."""
    if (found := shutil.which("redis-server")) is not None:
        return found, {}
    if (unpacked := UNPACKED / "bin" / "redis-server").exists():
        return str(unpacked), {"LD_LIBRARY_PATH": os.pathsep.join(map(str, UNPACKED.glob("lib/*")))}
    return None


def version() -> str | None:
    """Give its version, where there is one."""
    found = program()
    if found is None:
        return None
    command = [found[0], "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **found[1]})
    return done.stdout.partition("v=")[2].split()[0]


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[str | None]:
    """Give the URL of one that listens, or None where there is no redis-server."""
    found = program()
    if found is None:
        yield None
        return
    path = folder / "redis"
    command = [found[0], "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, env={**os.environ, **found[1]}, stdout=subprocess.DEVNULL)
    try:
        until_listening(path, process)
        yield f"redis+socket://{path}"
    finally:
        process.terminate()
        process.wait()


def until_listening(path: Path, process: "subprocess.Popen[bytes]") -> None:
    """Wait until somebody answers at a socket."""
    while process.poll() is None:
        with socket.socket(socket.AF_UNIX) as end, contextlib.suppress(OSError):
            end.connect(str(path))
            return
        select.select([], [], [], 0.01)
    raise RuntimeError(f"redis-server ended with {process.returncode}")
