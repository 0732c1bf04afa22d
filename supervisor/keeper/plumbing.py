"""What a child does between fork and its own program: it becomes a process that owes its keeper nothing.

Everything here runs in the child. The order matters: the group before anything that could fork, limits before the
account (only root may raise what was lowered), the account before the working directory (it must be able to enter it),
dumpable last (changing accounts sets it anew). A step that fails is said by name over the report pipe, and the child
ends; the pipe closing without a word means that the child has begun.
"""

import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, MutableMapping
from typing import NamedTuple, NoReturn

from supervisor.keeper.cgroups import Group
from supervisor.keeper.link import Account, Kind, SpawnRequest
from supervisor.keeper.native import become_subreaper, forbid_dump

FRAMES_FD = 3
LOGS_FD = 4
REPORT_FD = 5
NOT_STARTED = 127
Entry = Callable[[int | None, int | None], int | None]
_RESET = [number for number in signal.valid_signals() if number not in {signal.SIGKILL, signal.SIGSTOP}]


class Ends(NamedTuple):
    """The child's ends of its channels, all above REPORT_FD."""

    stdin: int
    stdout: int
    stderr: int
    report: int
    frames: int | None = None
    logs: int | None = None


class Ground(NamedTuple):
    """What the keeper has prepared for one child."""

    ends: Ends
    tmpdir: str
    group: Group | None
    nofile: tuple[int, int]
    environment: MutableMapping[str, str]
    entry: Entry


def begin(request: SpawnRequest, ground: Ground) -> NoReturn:
    """Never returns, and never lets an exception reach the keeper's loop of which this process has a copy."""
    step = "a session of its own"
    code = NOT_STARTED
    try:
        os.setsid()
        for step, action in _steps(request, ground):  # noqa: B007 - the handler below says which step failed
            action()
        code = _run(request, ground)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it ends here
        _report(f"{step}: {error}")
    finally:
        os._exit(code)


def _steps(request: SpawnRequest, ground: Ground) -> list[tuple[str, Callable[[], object]]]:
    limits, account = request.limits, request.limits.account
    group = ground.group
    steps: list[tuple[str, Callable[[], object]]] = [
        ("signals", lambda: _clean_signals(request.kind)),
        ("its channels", lambda: _place(ground.ends)),
        # Without a group, those whose parent ends must fall to this process and not to the keeper: then whoever falls
        # to the keeper belongs to an attempt that has ended. The mark survives exec.
        ("its cgroup", group.join if group else become_subreaper),
        ("limits", lambda: _limit(limits.rlimits, ground.nofile, limits.pids if account else None)),
    ]
    if limits.oom_score_adj is not None:
        steps.append(("oom_score_adj", lambda: _write("/proc/self/oom_score_adj", str(limits.oom_score_adj))))
    if account is not None:
        steps.append((f"account {account.name}", lambda: _become(account)))
    steps += [
        ("working directory", lambda: os.chdir(request.cwd or ground.tmpdir)),
        ("environment", lambda: ground.environment.update(_environment(request, ground.tmpdir))),
    ]
    if request.kind is Kind.PYTHON:
        steps.append(("dumpable", forbid_dump))
    else:
        steps.append((f"exec {request.argv[0]}", lambda: os.execvpe(request.argv[0], request.argv, ground.environment)))  # noqa: S606 - it is the point
    return steps


def _clean_signals(kind: Kind) -> None:
    """Start as a program expects to: nothing handled, nothing ignored, nothing blocked.

    A Python child keeps what Python has by itself (SIGPIPE ignored, SIGINT raising) and the stack dump.
    """
    signal.set_wakeup_fd(-1)
    for number in _RESET:
        handler = signal.getsignal(number)
        if callable(handler) or (kind is Kind.EXEC and handler is signal.SIG_IGN):
            signal.signal(number, signal.SIG_DFL)
    if kind is Kind.PYTHON:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _place(ends: Ends) -> None:
    os.dup2(ends.stdin, 0)
    os.dup2(ends.stdout, 1)
    os.dup2(ends.stderr, 2)
    for end, fd in ((ends.frames, FRAMES_FD), (ends.logs, LOGS_FD)):
        if end is None:
            os.close(fd)
        else:
            os.dup2(end, fd)
    os.dup2(ends.report, REPORT_FD, inheritable=False)
    os.closerange(REPORT_FD + 1, 2**31 - 1)


def _limit(wanted: dict[str, int], nofile: tuple[int, int], pids: int | None) -> None:
    """Set limits, soft and hard; open files go back to what they were before the keeper raised its own."""
    resource.setrlimit(resource.RLIMIT_NOFILE, nofile)
    if pids is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (pids, pids))
    for name, value in wanted.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (value, value))


def _become(account: Account) -> None:
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)


def _environment(request: SpawnRequest, tmpdir: str) -> dict[str, str]:
    added = {"TASKHAND_TMPDIR": tmpdir, "TMPDIR": tmpdir}
    if request.frames:
        added |= {"TASKHAND_FD": str(FRAMES_FD), "TASKHAND_LOG_FD": str(LOGS_FD)}
    if request.limits.account is not None:
        account = request.limits.account
        added |= {"USER": account.name, "LOGNAME": account.name, "HOME": account.home}
    return added | request.env


def _run(request: SpawnRequest, ground: Ground) -> int:
    os.close(REPORT_FD)
    gc.enable()
    sys.argv[:] = request.argv or [request.attempt]
    fds = (FRAMES_FD, LOGS_FD) if request.frames else (None, None)
    try:
        code = ground.entry(*fds) or 0
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
