"""`worker upgrade`: a worker becomes its successor, and its tasks do not notice.

The process executes itself anew: the same pid, and therefore the same parent, terminal and unit; new code, and another
Python where one is named. Its children are adopted as those of a worker that was killed are, by the same path; only
that it claims no more before it goes, and that what it had to write is written. Whoever asks leaves a note of what he
wants beside the one by which workers are found, and the successor leaves another when it is ready.
"""

import contextlib
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from supervisor.journal_writer import Journal
from supervisor.orders import Office
from supervisor.points import point


class Wish(Struct, frozen=True):
    """What somebody wants, and since when the worker is gone."""

    python: str = ""
    """Which Python is to run; empty: the same."""
    left: float = 0.0


def note_of(state_dir: Path, pid: int) -> Path:
    """Say where the note to a worker is left."""
    return state_dir / "workers" / f"{pid}.upgrade"


def read(state_dir: Path, pid: int) -> Wish:
    """Read the note. One that is not there wishes for nothing in particular."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(note_of(state_dir, pid).read_bytes(), type=Wish)
    return Wish()


def write(state_dir: Path, pid: int, wish: Wish) -> None:
    """Leave a note, in the place of the one before. Who asks as root leaves what the worker's account can read."""
    note, folder = note_of(state_dir, pid), state_dir.joinpath("workers").stat()
    half = note.with_suffix(".wish")
    half.write_bytes(msgspec.json.encode(wish))
    if folder.st_uid != os.geteuid():
        os.chown(half, folder.st_uid, folder.st_gid)
    half.replace(note)


def unfit(python: str) -> str | None:
    """Say why this Python cannot run a worker; None where it can. Found out before a worker gives itself up for it."""
    command = [python, "-P", "-m", "supervisor", "run", "--help"]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - it is the point
    except OSError as error:
        return f"{python} cannot be executed: {error.strerror}"
    said = tried.stderr.strip().splitlines() or [f"it exited with {tried.returncode}"]
    return f"{python} cannot run a worker: {said[-1]}" if tried.returncode else None


def arrived(state_dir: Path) -> float | None:
    """Say how long there was no worker, if we are a successor that was asked for; the note is taken away."""
    wish = read(state_dir, os.getpid())
    note_of(state_dir, os.getpid()).unlink(missing_ok=True)
    return time.monotonic() - wish.left if wish.left else None


async def replace(state_dir: Path, journal: Journal, office: Office, while_fd: int | None) -> None:
    """Write what is to be written, and become the successor. Does not come back."""
    wish = read(state_dir, os.getpid())
    await office.logs.pause()
    await journal.stop()
    if while_fd is not None:
        os.set_inheritable(while_fd, True)  # noqa: FBT003 - the standard library's own signature
    files = office.keeper.open_files
    if files is not None:  # ours were raised: the successor is to find what is usual here, for its children
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    write(state_dir, os.getpid(), Wish(left=time.monotonic()))
    point("worker.replaced")
    command = successor(wish.python)
    os.execv(command[0], command)  # noqa: S606 - it is the point


def successor(python: str) -> list[str]:
    """Give the command line that makes the next of us, without what was for us alone."""
    same = [sys.executable, *sys.orig_argv[1:]]
    command = same if python in {"", sys.executable} else [python, "-P", "-m", "supervisor", *sys.argv[1:]]
    while "--ready-fd" in command:
        at = command.index("--ready-fd")
        del command[at : at + 2]
    return [word for word in command if not word.startswith("--ready-fd=")]
