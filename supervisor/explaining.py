"""Why an attempt was stopped or failed, in words for whoever is woken by it. Core.

A program reads the kind of a failure and the exit's number. A person has to be told what they mean: that exit 143 was
a time-out, that signal 9 was not ours, that exit 0 without a word is somebody's `os._exit`. What is known of the
process comes last, because it is the consequence as often as the cause.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct

from supervisor.deadlines import Deadline
from supervisor.outcome import FailureKind
from supervisor.stopping import KILL

SIGNALS = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL",
    10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 24: "SIGXCPU",
    25: "SIGXFSZ", 31: "SIGSYS",
}  # fmt: skip
"""Linux's numbers, those that end a process."""


RUNNER = {
    74: "when its channel to the worker is lost",
    76: "when it hears from the worker what it cannot understand",
}
"""Exit codes of our runner (`runner.outcomes.Exit`) that say nothing to whoever does not know them."""


class Overdue(Struct, frozen=True):
    """A deadline that passed, and how long it was."""

    deadline: Deadline
    span_s: float | None


class End(Struct, frozen=True):
    """What is known of a failed attempt."""

    kind: FailureKind
    code: int | None = None
    signal: int | None = None
    overdue: Overdue | None = None
    """The deadline that ended it."""
    talks: bool = False
    """Whether it speaks frames, as our runner does."""
    fault: str = ""
    """What was found to be wrong, where that was said when it was found."""
    stop: str = ""
    """Why it was asked to stop."""
    terminated: bool = False
    """The server has said that it is over."""


def why(end: End) -> str:
    """Say it."""
    words = (end.fault or _WHAT[end.kind](end), process_words(end.code, end.signal))
    return "; ".join(word for word in words if word) or "nobody knows why"


def process_words(code: int | None, signal: int | None) -> str:
    """Say how a process ended; nothing where nobody knows, or there was none."""
    if signal is not None:
        return f"killed by {SIGNALS[signal]} (signal {signal})" if signal in SIGNALS else f"killed by signal {signal}"
    return "" if code is None else f"exit {code}"


def late(overdue: Overdue) -> str:
    """Say what did not happen in time."""
    span = "" if overdue.span_s is None else f" of {overdue.span_s:g} s"
    return f"{_LATE[overdue.deadline]}{span} is over"


_LATE: Mapping[Deadline, str] = {
    Deadline.BOOT: "the time to come up",
    Deadline.EXECUTION: "its time-out",
    Deadline.PROGRESS: "the time between two signs of progress",
    Deadline.OVERTIME: "the time to end when there is no more to say",
    Deadline.PATIENCE: "patience",
    Deadline.BEAT: "the time between two heartbeats",
    Deadline.LEASE: "the lease",
}


def _late(end: End) -> str:
    return "" if end.overdue is None else late(end.overdue)


def _app(end: End) -> str:
    if end.talks and end.code in RUNNER:
        return f"{end.code} is what our runner ends with {RUNNER[end.code]}"
    return "it was killed by somebody else than this worker" if end.signal == KILL else ""


def _evicted(end: End) -> str:
    return f"it was stopped ({end.stop}) before it was done" if end.stop else "it was stopped before it was done"


def _fenced(end: End) -> str:
    if end.terminated:
        return "the server did not want it to run any more"
    return "no heartbeat was answered, and its lease was over"


_WHAT: Mapping[FailureKind, Callable[[End], str]] = {
    FailureKind.APP: _app,
    FailureKind.OOM: lambda _: "it was out of memory, and the kernel ended it",
    FailureKind.TIMEOUT: _late,
    FailureKind.EVICTED: _evicted,
    FailureKind.LOST: lambda _: "its keeper died in the same moment",
    FailureKind.FENCED: _fenced,
    FailureKind.PROTOCOL: _late,
    FailureKind.BOOT: _late,
    FailureKind.NO_OUTCOME: lambda _: "it ended without a word of how the task did: did something call os._exit?",
    FailureKind.KILLED: lambda _: "it was killed by a person",
}
