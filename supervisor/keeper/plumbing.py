"""What a child does between fork and its own program: it becomes a process that owes its keeper nothing.

Everything here runs in the child. The order matters: the group before anything that could fork, limits before the
account (only root may raise what was lowered), the account before the working directory (it must be able to enter it).
A step that fails is said by name over the report pipe, and the child ends; the pipe closing without a word means that
the child has begun.
"""

import contextlib
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, MutableMapping
from typing import NamedTuple, NoReturn

from supervisor.keeper.cgroups import Group
from supervisor.keeper.forking import Hooks, register
from supervisor.keeper.link import Account, Kind, Limits, SpawnRequest
from supervisor.keeper.native import become_subreaper, raw_signal, set_dumpable

FRAMES_FD = 3
LOGS_FD = 4
LEASH_FD = 5
REPORT_FD = 6
NOT_STARTED = 127
REHEARSALS = 10
Entry = Callable[[int | None, int | None], int | None]


class Ends(NamedTuple):
    """The child's ends of its channels, all above REPORT_FD."""

    stdin: int
    stdout: int
    stderr: int
    leash: int
    report: int = -1
    frames: int | None = None
    logs: int | None = None


class Start(NamedTuple):
    """What the keeper has prepared for all children."""

    entry: Entry
    hooks: list[Hooks]
    """What a child has done around forks of its own."""
    nofile: tuple[int, int]
    handled: tuple[int, ...]
    environment: MutableMapping[str, str]


class Ground(NamedTuple):
    """What it has prepared for one."""

    ends: Ends
    tmpdir: str
    group: Group | None
    start: Start


def begin(request: SpawnRequest, ground: Ground) -> NoReturn:
    """Never returns, and never lets an exception reach the keeper's loop of which this process has a copy.

    Written out, and as plain as it is, because everything that a fork touches is a page copied: what looks like
    tidiness (a table of steps, enums of signals) cost half a millisecond here.
    """
    step = ["a session of its own"]
    code = NOT_STARTED
    try:
        os.setsid()
        step[0] = "signals"
        _clean_signals(ground.start.handled)
        step[0] = "its channels"
        _place(ground.ends, request.kind)
        _settle(request, ground, step)
        if request.kind is Kind.EXEC:
            step[0] = f"exec {request.argv[0]}"
            _exec(request, ground)
        code = _run(request, ground)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it ends here
        _report(f"{step[0]}: {error}")
    finally:
        os._exit(code)


def _settle(request: SpawnRequest, ground: Ground, step: list[str]) -> None:
    limits = request.limits
    step[0] = "its cgroup"
    if ground.group is not None:
        ground.group.join()
    else:
        # Without a group, those whose parent ends must fall to this process and not to the keeper: then whoever
        # falls to the keeper belongs to an attempt that has ended. The mark survives exec.
        become_subreaper()
    step[0] = "limits"
    _limit(limits, ground.start.nofile)
    if limits.account is not None:
        step[0] = f"account {limits.account.name}"
        _become(limits.account)
    step[0] = "working directory"
    os.chdir(request.cwd or ground.tmpdir)
    step[0] = "environment"
    for name, value in environment(request, ground.tmpdir).items():
        ground.start.environment[name] = value  # not `update`: what that touches first is 80 pages


def rehearse(start: Start, home: Group | None) -> None:
    """Do in the keeper, before its first fork, what each child does and a keeper may: see `runner.rehearsal`.

    It joins the group it is in, gives itself the limit it has, goes where it is, and forgets what it has put into its
    environment. It is to catch its signals after this. What cannot be done here is each child's to find out.
    """
    request = SpawnRequest("rehearsal", Kind.PYTHON)
    ground = Ground(Ends(0, 1, 2, -1), ".", home, start)
    before = dict(start.environment)
    with contextlib.suppress(OSError):
        for _ in range(REHEARSALS):
            _clean_signals(())
            _settle(request, ground, [""])
    for name in environment(request, ""):
        start.environment.pop(name, None)
    start.environment.update(before)


def handled_signals() -> tuple[int, ...]:
    """Name the signals that are not as the kernel starts a process. Asked by the keeper, once: it is slow to ask."""
    every = [number for number in signal.valid_signals() if number not in {signal.SIGKILL, signal.SIGSTOP}]
    return tuple(int(number) for number in every if signal.getsignal(number) not in {signal.SIG_DFL, None})


def _clean_signals(handled: tuple[int, ...]) -> None:
    """Let go of the keeper's handlers, as one does in a process that Python starts: SIGPIPE stays ignored."""
    raw_signal.set_wakeup_fd(-1)
    for number in handled:
        raw_signal.signal(number, raw_signal.SIG_DFL)
    raw_signal.signal(raw_signal.SIGINT, raw_signal.default_int_handler)
    raw_signal.signal(raw_signal.SIGPIPE, raw_signal.SIG_IGN)
    raw_signal.pthread_sigmask(raw_signal.SIG_SETMASK, ())


def _exec(request: SpawnRequest, ground: Ground) -> NoReturn:
    """Become another program, which expects that nothing is ignored."""
    for number in (raw_signal.SIGPIPE, raw_signal.SIGINT):
        raw_signal.signal(number, raw_signal.SIG_DFL)
    os.execvpe(request.argv[0], request.argv, ground.start.environment)  # noqa: S606 - it is the point


def _place(ends: Ends, kind: Kind) -> None:
    os.dup2(ends.stdin, 0)
    os.dup2(ends.stdout, 1)
    os.dup2(ends.stderr, 2)
    for end, fd in ((ends.frames, FRAMES_FD), (ends.logs, LOGS_FD)):
        if end is None:
            os.close(fd)
        else:
            os.dup2(end, fd)
    os.dup2(ends.leash, LEASH_FD, inheritable=kind is Kind.EXEC)
    os.dup2(ends.report, REPORT_FD, inheritable=False)
    os.closerange(REPORT_FD + 1, 2**31 - 1)


def _limit(limits: Limits, nofile: tuple[int, int]) -> None:
    """Set limits, soft and hard; open files go back to what they were before the keeper raised its own."""
    resource.setrlimit(resource.RLIMIT_NOFILE, nofile)
    if limits.pids is not None and limits.account is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (limits.pids, limits.pids))
    for name, value in limits.rlimits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (value, value))
    if limits.oom_score_adj is not None:
        # The keeper is not dumpable, nor are we, and then one's own files in /proc are root's.
        set_dumpable(allowed=True)
        _write("/proc/self/oom_score_adj", str(limits.oom_score_adj))
        set_dumpable(allowed=False)


def _become(account: Account) -> None:
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)


def environment(request: SpawnRequest, tmpdir: str) -> dict[str, str]:
    """Give what is added to the keeper's environment for this child."""
    added = {"TASKHAND_TMPDIR": tmpdir, "TMPDIR": tmpdir}
    if request.frames:
        added["TASKHAND_FD"] = "3"
        added["TASKHAND_LOG_FD"] = "4"
    if request.limits.account is not None:
        account = request.limits.account
        added |= {"USER": account.name, "LOGNAME": account.name, "HOME": account.home}
    return added | request.env


def _run(request: SpawnRequest, ground: Ground) -> int:
    os.close(REPORT_FD)
    gc.enable()
    for hooks in ground.start.hooks:
        register(**hooks)
    sys.argv[:] = request.argv or [request.attempt]
    fds = (FRAMES_FD, LOGS_FD) if request.frames else (None, None)
    try:
        code = ground.start.entry(*fds) or 0
    except SystemExit as ending:
        code = _code_of(ending)
    except BaseException:  # noqa: BLE001 - told where the program's own errors are told
        sys.excepthook(*sys.exc_info())
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    return code & 0xFF


def _code_of(ending: SystemExit) -> int:
    if ending.code is None:
        return 0
    if isinstance(ending.code, int):
        return ending.code
    print(ending.code, file=sys.stderr)  # noqa: T201 - as the interpreter does
    return 1


def _report(reason: str) -> None:
    try:
        os.write(REPORT_FD, reason.encode(errors="backslashreplace")[:4000])
    except OSError:
        return


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
