"""Children's directories that somebody has to remove: those with something in them, and those of keepers that died.

What is in them is the tasks' doing, so nothing is taken for granted: a directory may be a link by now, or have parts
that forbid their own removal, as some package caches do.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

_NAME = re.compile(r".+\.([0-9]+)-[0-9]+\Z")
"""As `spawning` gives them: the attempt, the keeper's pid, a number."""


def remove(folder: str) -> None:
    """Remove a child's directory and all that is in it; what cannot be removed stays."""
    if os.path.islink(folder) or os.path.isfile(folder):
        os.unlink(folder)  # and never what it leads to
        return
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        _open_up(folder)
        shutil.rmtree(folder, ignore_errors=True)


def sweep(root: str) -> int:
    """Remove what dead keepers have left: how many directories."""
    left = [path for path, keeper in _folders(root) if not _is_keeper(keeper)]
    for path in left:
        remove(path)
    return len(left)


def sweep_one(keeper: int, known: Collection[str], root: str) -> None:
    """Remove what a keeper has left that just died: directories of children that it told nobody of."""
    for path, made_by in _folders(root):
        if made_by == keeper and path not in known:
            remove(path)


def _folders(root: str) -> Iterator[tuple[str, int]]:
    """Give the children's directories, each with the pid of the keeper that made it."""
    try:
        entries = list(os.scandir(root))
    except FileNotFoundError:  # the first keeper makes it
        return
    for entry in entries:
        found = _NAME.match(entry.name)
        if found is not None:
            yield entry.path, int(found[1])


def _open_up(folder: str) -> None:
    """Let us into each directory. From the top, because `walk` looks into one only after it was given."""
    os.chmod(folder, 0o700)
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)


def _is_keeper(pid: int) -> bool:
    try:
        return b"supervisor.keeper" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
