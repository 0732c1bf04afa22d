"""What a process is doing, before it is killed for doing it too long.

A Python child dumps the stacks of all its threads itself: the keeper registered faulthandler on STACKS_SIGNAL before
the fork, so it costs a child nothing and works while the interpreter hangs in C code. The dump goes to fd 2 and so into
the log. Of any process /proc tells, without its help, where each thread is waiting in the kernel.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

from supervisor.keeper.children import Child
from supervisor.keeper.identity import read_small
from supervisor.keeper.link import Kind
from supervisor.keeper.trees import descendants_of

STACKS_SIGNAL = signal.SIGUSR2
MOST_THREADS = 64
MOST_PROCESSES = 32
_LOOK_EVERY_S = 0.005


async def dump_stacks(child: Child, patience_s: float, before: Callable[[], None] = lambda: None) -> bool:
    """Have a Python child dump its stacks into its stderr: whether it took the signal within that time.

    Whoever reads stderr is told `before` it is asked, so that it can take the dump for one.
    It has not if it is stopped, or stuck in the kernel. A child that is not Python is not asked: the signal kills it.
    """
    if child.request.kind is not Kind.PYTHON or child.pidfd == -1:
        return False
    before()
    try:
        signal.pidfd_send_signal(child.pidfd, STACKS_SIGNAL)
    except ProcessLookupError:
        return False
    try:
        async with asyncio.timeout(patience_s):
            while _is_pending(child.pid):  # noqa: ASYNC110 - the kernel tells nobody when a signal was taken
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError:
        return False
    # Taken means begun: writing a dump of a hundred threads takes a few milliseconds more.
    await asyncio.sleep(_LOOK_EVERY_S)
    return True


def kernel_state(pid: int) -> list[dict[str, object]]:
    """Say of each thread of a tree what the kernel knows: for the log. What may not be read is left out."""
    found: list[dict[str, object]] = []
    for process in [pid, *descendants_of(pid)][:MOST_PROCESSES]:
        try:
            threads = os.listdir(f"/proc/{process}/task")[:MOST_THREADS]
        except OSError:
            continue
        found += [_thread(process, thread) for thread in threads]
    return found


def _thread(process: int, thread: str) -> dict[str, object]:
    told: dict[str, object] = {"pid": process, "thread": int(thread)}
    for name, key in (("comm", "name"), ("wchan", "waits_in"), ("syscall", "syscall"), ("stack", "stack")):
        with contextlib.suppress(OSError):
            text = read_small(f"/proc/{process}/task/{thread}/{name}").decode(errors="replace").strip()
            told[key] = text.splitlines() if name == "stack" else text
    with contextlib.suppress(OSError):
        status = read_small(f"/proc/{process}/task/{thread}/status").decode(errors="replace")
        told["state"] = _field(status, "State")
    return told


def _is_pending(pid: int) -> bool:
    try:
        status = read_small(f"/proc/{pid}/status").decode(errors="replace")
    except OSError:
        return False
    bit = 1 << (STACKS_SIGNAL - 1)
    return any(int(_field(status, name) or "0", 16) & bit for name in ("SigPnd", "ShdPnd"))


def _field(status: str, name: str) -> str:
    return next((line.partition(":")[2].strip() for line in status.splitlines() if line.startswith(f"{name}:")), "")


async def capture(child: Child, note: Callable[..., None], within_s: float, before: Callable[[], None]) -> None:
    """Have a child write where it stands into its log; where it does not, write what the kernel knows of it."""
    if not await dump_stacks(child, within_s, before):
        note("warning", "where the child stands", threads=kernel_state(child.pid))
