"""`python -m supervisor.keeper`: import what children need, say that it is done, and serve.

Started by the supervisor with the link as an inherited fd; not for people. Imports are few on purpose: each page of
this process is a page of each child.
"""

import contextlib
import faulthandler
import gc
import importlib
import io
import os
import resource
import signal
import socket
import stat
import sys
import sysconfig
from itertools import count
from pathlib import Path
from types import ModuleType

import msgspec

from supervisor.keeper import leash
from supervisor.keeper.cgroups import Group, Groups, own_group
from supervisor.keeper.forking import noted
from supervisor.keeper.identity import start_time
from supervisor.keeper.link import BOUND, Charge, Link, Ready, Refused
from supervisor.keeper.loop import Keeper, catch_signals
from supervisor.keeper.native import become_subreaper, set_dumpable
from supervisor.keeper.plumbing import REPORT_FD, Entry, Start, handled_signals, rehearse
from supervisor.keeper.spawning import Workshop

FLOWS = "runner.authoring"
"""What reads flow files: found by name, because the supervisor knows nothing of the runner."""


def main() -> int:
    """Serve one link; 0 when it ended as it should."""
    gc.disable()  # for good: what is imported stays, and a collection is a write to every page; children turn it on
    # JSON, because `argparse` and what it imports are 0.35 MB more to fork.
    charge = msgspec.json.decode(sys.argv[1], type=Charge)
    last = max(charge.link_fd, charge.door_fd or 0)
    os.closerange(last + 1, 2**31 - 1)  # of who started the supervisor; programs we start would have them
    nowhere = _occupy_low_fds()
    link = Link(socket.socket(fileno=charge.link_fd))
    os.set_inheritable(charge.link_fd, False)  # noqa: FBT003 - the signature is the standard library's
    for name, value in BOUND.items():
        if os.environ.get(name) == value:
            del os.environ[name]  # it was for us; who set another value wants our children to have it
    door = _door(charge.door_fd)
    warnings: list[str] = []
    with noted() as hooks:
        entry = _load(charge.entry, link)
        if entry is None:
            return 1
        for what in charge.preload:
            _preload(what, warnings)
        _rehearse(sys.modules[charge.entry.partition(":")[0]], warnings)
    become_subreaper()
    set_dumpable(allowed=False)
    _prepare_streams()
    groups = Groups(charge.cgroup) if charge.cgroup else None
    home = Group(str(own_group())) if groups else None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    start = Start(entry, hooks, (soft, hard), (), os.environ)
    rehearse(start, home)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wakeup = catch_signals()
    start = start._replace(nofile=(charge.open_files or soft, hard), handled=handled_signals())
    workshop = Workshop(start, charge.tmp_root, nowhere, groups, home, count(1), leash.make())
    keeper = Keeper(link, workshop, wakeup, charge.orphan_grace, door)
    gc.collect()
    gc.freeze()
    keeper.serve(Ready(os.getpid(), start_time(os.getpid()), _imported(), warnings))
    return 0


def _occupy_low_fds() -> int:
    """Leave no fd up to REPORT_FD free, so that placing a child's ends there never overwrites another: the first above.

    All of them lead nowhere.
    """
    while (fd := os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)) <= REPORT_FD:
        pass
    return fd


def _door(fd: int | None) -> socket.socket | None:
    if fd is None:
        return None
    os.set_inheritable(fd, False)  # noqa: FBT003 - as above
    door = socket.socket(fileno=fd)
    door.setblocking(False)  # noqa: FBT003 - as above
    return door


def _load(name: str, link: Link) -> Entry | None:
    module, _, attribute = name.partition(":")
    try:
        entry: Entry = getattr(importlib.import_module(module), attribute)
    except BaseException:  # noqa: BLE001 - an import can raise anything, SystemExit too
        import traceback  # noqa: PLC0415 - for a keeper that ends here, and no other

        link.send(Refused(f"{name} cannot be imported: {traceback.format_exc(limit=-3)}"[:8000]))
        return None
    return entry


def _preload(what: str, warnings: list[str]) -> None:
    """Import a module, or a flow's file as the runner does it. A thread that this starts is missing in each child."""
    before = len(os.listdir("/proc/self/task"))
    try:
        if what.endswith(".py"):
            importlib.import_module(FLOWS).load_module(Path(what))
        else:
            importlib.import_module(what)
    except BaseException as error:  # noqa: BLE001 - as above; a module for speed must not cost the service
        warnings.append(f"{what} could not be preloaded: {type(error).__name__}: {error}"[:2000])
    if len(os.listdir("/proc/self/task")) > before:
        warnings.append(f"{what} starts threads when it is imported, and children cannot have those: do not preload it")


def _rehearse(module: ModuleType, warnings: list[str]) -> None:
    """Let the entry's module do, once for all children, what each would do anew; it need not have anything to do."""
    try:
        getattr(module, "before_forks", int)()
    except Exception as error:  # noqa: BLE001 - as above
        warnings.append(f"{module.__name__} could not be made ready: {type(error).__name__}: {error}"[:2000])


def _prepare_streams() -> None:
    """Once, for all children: what they print is told by lines, whatever it is made of, and their stacks when asked."""
    faulthandler.enable(file=2)
    faulthandler.register(signal.SIGUSR2, file=2, all_threads=True)  # `stacks` asks by this signal
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _imported() -> list[tuple[str, int, int]]:
    """Name the files that came from outside the standard library."""
    standard = sysconfig.get_path("stdlib") + os.sep
    packages = sysconfig.get_path("purelib") + os.sep
    found = []
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or (path.startswith(standard) and not path.startswith(packages)):
            continue
        with contextlib.suppress(OSError):
            facts = os.stat(path)
            if stat.S_ISREG(facts.st_mode):
                found.append((path, facts.st_mtime_ns, facts.st_ino))
    return found


if __name__ == "__main__":
    sys.exit(main())
