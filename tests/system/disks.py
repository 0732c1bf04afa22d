"""A disk that is small, and can be full: a real file system of its own. Mounting is root's."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

mounts = pytest.mark.skipif(os.geteuid() != 0, reason="mounting is root's")


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """Mount one."""
    place.mkdir(parents=True)
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room there is; gives what to remove to have it again."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return ballast


def fill_but(disk: Path, room: int) -> Path:
    """Take all the room but this."""
    ballast = disk / "ballast"
    facts = os.statvfs(disk)
    ballast.write_bytes(b"x" * (facts.f_bavail * facts.f_frsize - room))
    return ballast
