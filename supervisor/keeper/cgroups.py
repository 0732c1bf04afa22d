"""Control groups, version 2: one for each attempt, where the machine gives us a place for them.

A group answers exactly what /proc only suggests: who belongs to the attempt, whatever sessions it made and whoever its
parent is now. Killing it (`cgroup.kill`) is atomic, removing it succeeds only when nobody is left, and the limits of
memory, pids and CPU hold for the tree as a whole. The group is worth having even where no controller is.

`prepare` is called by the supervisor, once, before the keeper starts. A group with processes of its own cannot give
controllers to groups below it, so when ours refuses, we move into a leaf beside the attempts' groups and ask again.
Not where ours is a unit of systemd, which starts the next worker in that very group, and could not: it would not be
let in while an attempt has controllers there. `DelegateSubgroup=taskhand-supervisor` (systemd 254) is the leaf.
"""

import contextlib
import os
from itertools import count
from pathlib import Path

from supervisor.keeper.identity import read_small
from supervisor.keeper.link import Limits

_numbers = count(1)
LEAF = "taskhand-supervisor"
UNIT = ".service"
CONTROLLERS = ("cpu", "memory", "pids")


class Group:
    """One attempt's group."""

    def __init__(self, path: str) -> None:
        self.path = path

    def join(self) -> None:
        """Put the calling process into it."""
        _write(f"{self.path}/cgroup.procs", "0")

    def pids(self) -> list[int]:
        """Give who is in it."""
        try:
            return [int(line) for line in _read(f"{self.path}/cgroup.procs").split()]
        except OSError:
            return []

    def kill(self) -> None:
        """Kill everyone in it at once. Linux before 5.14 cannot; there they are killed one by one."""
        try:
            _write(f"{self.path}/cgroup.kill", "1")
        except OSError:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)

    def remove(self) -> bool:
        """Remove it, if nobody is left: whether it is gone."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def oom_kills(self) -> int:
        """How many of its processes the kernel killed for want of memory."""
        try:
            lines = _read(f"{self.path}/memory.events").splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


class Groups:
    """The place where the attempts' groups are made."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.controllers = frozenset(_controllers(f"{root}/cgroup.subtree_control"))

    def make(self, name: str, limits: Limits) -> Group:
        """Make a group with these limits; those no controller is for are the caller's to warn of."""
        group = Group(f"{self.root}/{name}")
        os.mkdir(group.path)
        try:
            for controller, file, value in files_for(limits):
                if controller in self.controllers:
                    _write(f"{group.path}/{file}", value)
        except OSError:
            group.remove()
            raise
        return group

    def find(self, name: str) -> Group:
        """Give the group that was made under this name."""
        return Group(f"{self.root}/{name}")


def unenforced(limits: Limits, controllers: frozenset[str]) -> list[str]:
    """Name the limits that hold only by a controller which is not there."""
    wanted = {"memory": limits.memory, "pids": limits.pids, "cpu": limits.cpu_weight}
    absent = [name for name, value in wanted.items() if value is not None and name not in controllers]
    if limits.account is not None and limits.account.uid != 0:
        absent = [name for name in absent if name != "pids"]  # RLIMIT_NPROC bounds an account, and only root not
    return [f"the limit on {name} is not enforced: no cgroup v2 {name} controller is given to us" for name in absent]


def prepare() -> str | None:
    """Find and make a place for the attempts' groups: its path, or None when this machine gives us none.

    Nothing is said here: whoever asks for a limit that cannot hold is told so with the child (`unenforced`).
    """
    own = place_of_ours()
    if own is None:
        return None
    names = (own / f"taskhand-{os.getpid()}-{number}" for number in _numbers)
    place = next(each for each in names if not each.exists())  # a supervisor that was executed anew has its old pid
    try:
        _clear(own)
        place.mkdir()
    except OSError:
        return None
    _delegate(own, place)
    return str(place)


def forget(place: str | None) -> None:
    """Remove the place, and the groups that keepers who died had no time to remove. None is no place."""
    for group in [*Path(place).glob("*/"), Path(place)] if place is not None else ():
        with contextlib.suppress(OSError):
            group.rmdir()


def own_group() -> Path | None:
    """Give the directory of the cgroup v2 we are in."""
    mounted = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    places = [Path(words[4]) for words in mounted if words[words.index("-") + 1] == "cgroup2"]
    paths = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    if not places or not paths:
        return None
    own = places[0] / paths[0].lstrip("/")
    return own if own.is_dir() else None


def place_of_ours() -> Path | None:
    """Give the directory that was given to us: ours, or the one above where we have moved out of the way."""
    own = own_group()
    return own.parent if own is not None and own.name == LEAF else own


def _delegate(own: Path, place: Path) -> None:
    """Hand the controllers down both steps, moving ourselves into a leaf if we are in the way."""
    wanted = [name for name in CONTROLLERS if name in _controllers(own / "cgroup.controllers")]
    if own.name.endswith(UNIT) and own_group() == own:
        return
    if not _enable(own, wanted):
        leaf = own / LEAF
        with contextlib.suppress(OSError):
            leaf.mkdir(exist_ok=True)
            _write(f"{leaf}/cgroup.procs", "0")
            _enable(own, wanted)
    _enable(place, [name for name in wanted if name in _controllers(place / "cgroup.controllers")])


def _enable(group: Path, controllers: list[str]) -> bool:
    try:
        for controller in controllers:
            _write(f"{group}/cgroup.subtree_control", f"+{controller}")
    except OSError:
        return False
    return True


def _clear(own: Path) -> None:
    """Remove what supervisors that crashed have left: only what is empty can be removed at all."""
    for old in own.glob("taskhand-[0-9]*"):
        if Path("/proc", old.name.split("-")[1]).exists():
            continue
        forget(str(old))


def files_for(limits: Limits) -> list[tuple[str, str, str]]:
    """Give what is written where: controller, file, value."""
    found: list[tuple[str, str, str]] = []
    if limits.memory is not None:
        found += [("memory", "memory.max", str(limits.memory)), ("memory", "memory.oom.group", "1")]
    if limits.pids is not None:
        found.append(("pids", "pids.max", str(limits.pids)))
    if limits.cpu_weight is not None:
        found.append(("cpu", "cpu.weight", str(limits.cpu_weight)))
    return found


def _controllers(path: str | Path) -> list[str]:
    try:
        return _read(str(path)).split()
    except OSError:
        return []


def _read(path: str) -> str:
    return read_small(path).decode()


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
