"""The child's entry: from two descriptors to an exit code.

Importing this imports all that an ordinary task needs, so that a keeper which forks children pays for it once.
"""

import faulthandler
import io
import os
import signal
import sys

from protocol.messages.startup import StartupDetails
from runner import settings
from runner.authoring import find_task
from runner.client import Client
from runner.context import Context, make_current
from runner.execute import Find, Run, conduct, tell
from runner.faults import ChannelGarbled, ChannelLost
from runner.interrupts import Interrupts
from runner.logs import Channel, Log, take_logging
from runner.outcomes import Exit

STACKS = signal.SIGUSR2
"""The supervisor sends it before it ends an attempt: the stacks of all threads go to stderr."""


def main(frames: int, logs: int, find: Find = find_task) -> int:
    """Run the task of the greeting that comes on the frame channel."""
    prepare(frames, logs)
    channel = Channel(logs)
    log = Log(channel)
    take_logging(channel)
    client = Client(frames)
    os.register_at_fork(after_in_child=client.forked)
    try:
        return _run(client, log, find)
    except ChannelLost as lost:
        log.write("error", "there is nothing to run", {}, lost)
        return Exit.CHANNEL_GARBLED if isinstance(lost, ChannelGarbled) else Exit.CHANNEL_LOST
    finally:
        flush()


def _run(client: Client, log: Log, find: Find) -> int:
    greeting = client.greeted()
    if not isinstance(greeting, StartupDetails):
        raise ChannelLost(f"a task's child was greeted with a {type(greeting).__name__}")
    told = settings.read()
    interrupts = Interrupts(client.ask, log)
    interrupts.install()
    context = Context(greeting, client, interrupts, log, told.blobs)
    make_current(context)
    run = Run(greeting, client, interrupts, context, log, find, told.roots)
    return tell(run, conduct(run))


def prepare(frames: int, logs: int) -> None:
    """Make the process one for a task to run in."""
    for descriptor in (frames, logs):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's own signature
    # As an interpreter that was executed has it: a write to a closed channel is an error, not a death.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # The stream itself, not a wrapper in Python: a line costs a microsecond or two. What a task prints must
            # arrive when it is printed, and must not fail for a character.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    faulthandler.register(STACKS, file=2, all_threads=True)


def flush() -> None:
    """Let go of what was printed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            continue  # closed, by the task or at the other end
