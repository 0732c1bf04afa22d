"""The quick way to another program: without a copy of the keeper in between.

A fork that is going to exec copies page tables and then pages for nothing; `posix_spawn` does not (vfork), and a child
costs 0.6 ms instead of 2.0. But it runs no code of ours in the child. What it has no argument for we do to
ourselves around it, and undo: the keeper has one thread, so nobody can see it in between. It steps into the attempt's
group, directory and file limit, spawns, and steps back. For what cannot be undone or lent (an account, limits, the mark
of a subreaper) there is `plumbing`.
"""

import contextlib
import os
import resource
import signal
from collections.abc import Iterator

from supervisor.keeper.cgroups import Group
from supervisor.keeper.link import Kind, SpawnRequest
from supervisor.keeper.plumbing import FRAMES_FD, LEASH_FD, LOGS_FD, Ends, Ground, environment

_EVERY_SIGNAL = [number for number in signal.valid_signals() if number not in {signal.SIGKILL, signal.SIGSTOP}]


def is_quick(request: SpawnRequest, home: Group | None) -> bool:
    """Whether nothing of this child needs code of ours in it."""
    limits = request.limits
    plain = limits.account is None and not limits.rlimits and limits.oom_score_adj is None
    return request.kind is Kind.EXEC and home is not None and plain


def execute(request: SpawnRequest, ground: Ground, home: Group) -> int:
    """Start the program: its pid. It runs when this returns; OSError says why it does not."""
    variables = {**ground.start.environment, **environment(request, ground.tmpdir)}
    program = _found(request.argv[0], variables)
    step = "working directory"
    try:
        with _stepped_into(request.cwd or ground.tmpdir, ground, home):
            step = f"exec {request.argv[0]}"
            return os.posix_spawn(
                program,
                request.argv,
                variables,
                file_actions=_placed(ground.ends),
                setsid=True,
                setsigmask=(),
                setsigdef=_EVERY_SIGNAL,
            )
    except OSError as error:
        raise OSError(error.errno, f"{step}: {error}") from error


def _placed(ends: Ends) -> list[tuple[int, int, int]]:
    places = [(ends.stdin, 0), (ends.stdout, 1), (ends.stderr, 2), (ends.leash, LEASH_FD)]
    if ends.frames is not None and ends.logs is not None:
        places += [(ends.frames, FRAMES_FD), (ends.logs, LOGS_FD)]
    return [(os.POSIX_SPAWN_DUP2, end, fd) for end, fd in places]  # all others are closed by exec


def _found(program: str, variables: dict[str, str]) -> str:
    """Look a program up as a shell does, in the PATH that it will have."""
    if "/" in program:
        return program
    for folder in os.get_exec_path(variables):
        path = os.path.join(folder, program)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return program


@contextlib.contextmanager
def _stepped_into(folder: str, ground: Ground, home: Group) -> Iterator[None]:
    mine = resource.getrlimit(resource.RLIMIT_NOFILE)
    back = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        os.chdir(folder)
        if ground.group is not None:
            ground.group.join()
        resource.setrlimit(resource.RLIMIT_NOFILE, (ground.start.nofile[0], mine[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, mine)
        home.join()
        os.fchdir(back)
        os.close(back)
