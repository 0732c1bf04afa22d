"""What a worker that was killed has left: processes, control groups, temporary directories.

Its keepers stop its children (SIGTERM, a grace, SIGKILL) and end; they are given that time. Who is still there then is
killed. Whoever came from a worker is known by a variable that its keepers gave him (`fosterage.MARK`): it names the
worker by pid and start time, so it cannot be taken for another's. A child whose environment we may not read is known
by its own pid and start time, from the journal. After a reboot neither means anything, and nobody is left either.

Nothing of an attempt is told before this is done: another attempt of the same task must not run beside it.
"""

import asyncio
import contextlib
import os
import select
import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from supervisor.journal import Opened
from supervisor.keeper import cgroups
from supervisor.keeper.fosterage import MARK
from supervisor.keeper.identity import GoneError, read_small, start_time, stat_fields

GRACE_S = 12.0
"""A keeper gives its children ten seconds."""
ROUNDS = 20
Process = tuple[int, int]
"""A pid, and when it started."""


class Swept(Struct, frozen=True):
    """What was done."""

    waited_for: int = 0
    killed: int = 0
    folders: int = 0


def boot_id() -> str:
    """Name this boot of the machine; empty where the kernel does not say."""
    try:
        return read_small("/proc/sys/kernel/random/boot_id").decode().strip()
    except OSError:
        return ""


async def sweep(
    dead: Iterable[Opened],
    children: Iterable[Process],
    tmp_root: Path,
    grace_s: float = GRACE_S,
    spared: Iterable[int] = (),
) -> Swept:
    """Wait for what ends by itself, kill what does not, remove what they left behind.

    `spared` are keepers that were adopted, and their children: what came from them is watched.
    """
    return await asyncio.to_thread(_sweep, [*dead], [*children], tmp_root, grace_s, {*spared})


def _sweep(dead: list[Opened], children: list[Process], tmp_root: Path, grace_s: float, spared: set[int]) -> Swept:
    here = [each for each in dead if each.boot == boot_id()]
    marks = {f"{MARK}={each.pid}.{each.started}".encode() for each in here}
    known = Known({*marks}, dict(children if here else []), spared)
    waited_for = _wait(known, grace_s)
    killed = _kill(known)
    for each in here:
        _groups(each.pid, spared)
    return Swept(waited_for, killed, _folders(tmp_root))


class Known(NamedTuple):
    """Who is looked for: by mark, or by pid and start. And whose descendants are not."""

    marks: set[bytes]
    started: dict[int, int]
    spared: set[int]


def _wait(known: Known, grace_s: float) -> int:
    """Wait until they have ended, or for so long: how many there were.

    A child whose keeper is gone as well has been told by nobody to stop. The keeper is told again, which is nothing.
    """
    until = time.monotonic() + grace_s
    held = dict(_held(known))
    for pid, pidfd in held.items():
        with contextlib.suppress(OSError, GoneError):
            if int(stat_fields(pid)[1]) not in held:
                signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    for pidfd in held.values():
        _ended(pidfd, max(until - time.monotonic(), 0.0))
        os.close(pidfd)
    return len(held)


def _kill(known: Known) -> int:
    """Kill them, and those that they made meanwhile, until there are none: how many."""
    count = 0
    for _ in range(ROUNDS):
        found = [pidfd for _, pidfd in _held(known)]
        for pidfd in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        for pidfd in found:
            _ended(pidfd, 1.0)
            os.close(pidfd)
        count += len(found)
        if not found:
            break
    return count


def _held(known: Known) -> Iterable[tuple[int, int]]:
    """Give pid and pidfd of each that lives: opened first, looked at then, so it is the one that was looked at."""
    for place in Path("/proc").glob("[0-9]*") if known.marks or known.started else ():
        pid = int(place.name)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            continue
        if _is_meant(pid, known) and not _ended(pidfd, 0.0):
            yield pid, pidfd
        else:
            os.close(pidfd)


def _is_meant(pid: int, known: Known) -> bool:
    with contextlib.suppress(OSError, GoneError):
        if pid in known.started and start_time(pid) == known.started[pid]:
            return True
        marked = not known.marks.isdisjoint(read_small(f"/proc/{pid}/environ").split(b"\0"))
        return marked and not _comes_from(pid, known.spared)
    return False


def _comes_from(pid: int, keepers: set[int]) -> bool:
    """Whether it is one of these, or descends from one."""
    while pid > 1 and pid not in keepers:
        pid = int(stat_fields(pid)[1])
    return pid in keepers


def _ended(pidfd: int, within_s: float) -> bool:
    poll = select.poll()  # select cannot look at a fd above 1023
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(within_s * 1000))


def _groups(pid: int, spared: set[int]) -> None:
    own = cgroups.place_of_ours()
    for place in [] if own is None else own.glob(f"taskhand-{pid}-*"):
        for group in map(cgroups.Group, map(str, place.glob("*/"))):
            with contextlib.suppress(GoneError):
                if not any(_comes_from(each, spared) for each in group.pids()):
                    group.kill()
        cgroups.forget(str(place))


def _folders(tmp_root: Path) -> int:
    """Remove the folders of children whose keeper is gone: its pid is in their names."""
    count = 0
    for folder in tmp_root.glob("*.*-*"):
        keeper = folder.name.rpartition(".")[2].partition("-")[0]
        if keeper.isdigit() and not Path("/proc", keeper).exists():
            shutil.rmtree(folder, ignore_errors=True)
            count += 1
    return count
