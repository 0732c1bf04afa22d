"""What a test leaves when it fails half-way: workers, keepers, children. Ended one by one, by who they are."""

import contextlib
import os
import signal
from pathlib import Path
from typing import NamedTuple

from supervisor.keeper.fosterage import MARK
from supervisor.keeper.identity import GoneError, start_time, stat_fields
from tests.system.checkpoints.worlds import offspring


class Started(NamedTuple):
    """A process that a test has started: its number alone may be another's by now."""

    pid: int
    at: int


STARTED: list[Started] = []


def note(pid: int) -> None:
    """Remember a process until the test is over."""
    with contextlib.suppress(GoneError):  # it has ended, and was collected
        STARTED.append(Started(pid, start_time(pid)))


def processes_of(pid: int) -> list[int]:
    """Give those that came from this worker's keepers, whoever their parent is now.

    Numbers come round within a minute or two on a busy machine: of a worker that was noted, nobody is given who came
    from a later process of that number, which may be another test's worker.
    """
    known = next((str(each.at) for each in reversed(STARTED) if each.pid == pid), None)
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            variables = (place / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        marks = [each.decode() for each in variables if each.startswith(f"{MARK}={pid}.".encode())]
        if any(known in {None, each.rpartition(".")[2]} for each in marks):
            found.append(int(place.name))
    return found


def lives(pid: int) -> bool:
    """Whether it does; a zombie is its parent's to collect."""
    try:
        return stat_fields(pid)[0] != b"Z"
    except GoneError:
        return False


def end_all() -> list[int]:
    """End what was started and lives, and all that came from it: the worker first, which would replace its keeper."""
    ended = []
    for pid, at in STARTED:
        family = []
        with contextlib.suppress(GoneError):
            family = [pid, *offspring(pid)] if start_time(pid) == at else []
        for each in dict.fromkeys([*family, *processes_of(pid)]):
            if lives(each):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
                    ended.append(each)
    STARTED.clear()
    return ended
