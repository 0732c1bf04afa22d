"""The child's entry: from two descriptors to an exit code.

Importing this imports all that an ordinary task needs, so that a keeper which forks children pays for it once.
"""

import faulthandler
import io
import os
import signal
import sys
import threading

from protocol.messages.startup import StartupDetails
from protocol.session import RunnerSession
from runner import rehearsal, settings
from runner.authoring import find_task
from runner.client import Client
from runner.context import Context, make_current
from runner.execute import Find, Run, conduct, tell
from runner.faults import ChannelGarbled, ChannelLost
from runner.interrupts import Interrupts
from runner.logs import Channel, Log, LogHandler
from runner.outcomes import Exit, Stopped
from runner.points import arm


def _stream(descriptor: int) -> io.TextIOWrapper | None:
    """Give a stream of C's own: a line costs it a microsecond or two. No character a task prints is an error."""
    try:
        return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    except OSError:  # this process has no such descriptor
        return None


# Made before a keeper forks. To make one in a child takes less time than to copy the pages that its making touches: a
# session 0.4 ms, a stream 0.2. A stream does not mind that there is something else behind its descriptor in the child.
SESSION = RunnerSession()
CHANNEL = Channel(-1)
LOG = Log(CHANNEL)
HANDLER = LogHandler()
OUT, ERR = _stream(1), _stream(2)

STACKS = signal.SIGUSR2
"""The supervisor sends it before it ends an attempt: the stacks of all threads go to stderr."""


def main(frames: int, logs: int, find: Find = find_task) -> int:
    """Run the task of the greeting that comes on the frame channel."""
    prepare(frames, logs)
    CHANNEL.descriptor = logs
    if HANDLER.channel is not CHANNEL:  # nobody made this process ready
        HANDLER.take_over(CHANNEL)
    client = Client(frames, session=SESSION)
    os.register_at_fork(after_in_child=client.forked)
    try:
        return play(client, LOG, find)
    except ChannelLost as lost:
        LOG.write("error", "there is nothing to run", {}, lost)
        return Exit.CHANNEL_GARBLED if isinstance(lost, ChannelGarbled) else Exit.CHANNEL_LOST
    finally:
        flush()


def before_forks() -> None:
    """Make ready what all children have in common: what a keeper calls, once, when it has imported everything."""
    for _ in range(rehearsal.TIMES):
        rehearsal.rehearse(play)
    HANDLER.take_over(CHANNEL)  # whose descriptor is each child's own


def play(client: Client, log: Log, find: Find, *, stoppable: bool = True) -> int:
    """Hear the greeting, run the task, tell its outcome."""
    greeting = client.greeted()
    if not isinstance(greeting, StartupDetails):
        raise ChannelLost(f"a task's child was greeted with a {type(greeting).__name__}")
    told = settings.read()
    interrupts = Interrupts(client.ask, log)
    if stoppable:  # a keeper that rehearses is neither stopped nor made to die here
        arm(told.crash)
        interrupts.install()
    context = Context(greeting, client, interrupts, log, told.blobs)
    make_current(context)
    run = Run(greeting, client, interrupts, context, log, find, told.roots)
    return tell(run, conduct(run))


def prepare(frames: int, logs: int) -> None:
    """Make the process one for a task to run in. That SIGPIPE is ignored, Python sees to, and so does a keeper."""
    for descriptor in (frames, logs):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's own signature
    # Not those the keeper began with: what a task prints arrives when it is printed, whatever the keeper had there.
    sys.stdout, sys.stderr = OUT or sys.stdout, ERR or sys.stderr
    threading.excepthook = _ended
    faulthandler.register(STACKS, file=2, all_threads=True)


def _ended(how: threading.ExceptHookArgs) -> None:
    """Say what a thread of the task's ended by. A stop is no error: it ends the task too, which says so."""
    if not isinstance(how.exc_value, Stopped):
        threading.__excepthook__(how)


def flush() -> None:
    """Let go of what was printed, through the streams from before as well: a module may have kept one."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            continue  # closed, by the task or at the other end
