"""What the facts about this machine and its server mean for a worker. Core: facts in, findings out.

A server that was named and is not there is a problem; one that nobody named is only not there. A clock that is off is
one too: tokens are refused by it, and moments that a task names are not when it thinks.
"""

from collections.abc import Iterator

from msgspec import Struct

from supervisor.diagnosis import Finding, Level

FEW_FILES = 1024
FILES_PER_ATTEMPT = 6
"""Four channels, a pidfd and the log."""
SKEW_S = 5.0
SLOW_S = 5.0


class JournalFacts(Struct, frozen=True):
    """What is in the journal of the state directory. A fault is a text: it cannot be read, or is of a newer version."""

    fault: str | None = None
    segments: int = 0
    size: int = 0
    torn: int = 0
    damage: int = 0
    """Records that were whole once."""
    undelivered: int = 0
    running: int = 0
    """Attempts without an outcome."""
    holder: str | None = None
    """The worker that has it open."""


class MachineFacts(Struct, frozen=True):
    """All that the check-up looks at. A fault is a text; None is none."""

    keeper_fault: str | None
    keeper_s: float
    cgroup: str | None
    files: int
    slots: int
    url: str
    url_named: bool
    """Whether somebody said which server."""
    journal: JournalFacts = JournalFacts()
    server_fault: str | None = None
    skew_s: float | None = None
    token_given: bool = False
    token_fault: str | None = None


def check_up(facts: MachineFacts) -> list[Finding]:
    """Give every finding, good ones too."""
    return [_keeper(facts), _cgroup(facts), _files(facts), _journal(facts.journal), *_server(facts)]


def _keeper(facts: MachineFacts) -> Finding:
    if facts.keeper_fault is not None:
        # A traceback's first line says of what, and its last one why; what is between belongs into no line of ours.
        lines = facts.keeper_fault.strip().splitlines()
        return Finding("keeper", Level.PROBLEM, " … ".join(dict.fromkeys((lines[0], lines[-1]))))
    level = Level.NOTE if facts.keeper_s > SLOW_S else Level.OK
    return Finding("keeper", level, f"ready in {facts.keeper_s:.2f} s")


def _cgroup(facts: MachineFacts) -> Finding:
    if facts.cgroup is None:
        message = "none that is ours: memory, pids and CPU of attempts cannot be limited, out of memory not be proved"
        return Finding("control groups", Level.NOTE, message)
    return Finding("control groups", Level.OK, facts.cgroup)


def _files(facts: MachineFacts) -> Finding:
    needed = facts.slots * FILES_PER_ATTEMPT + FEW_FILES // 4
    if facts.files < needed:
        message = f"{facts.files} open files for {facts.slots} slots, which may need {needed}: raise ulimit -n"
        return Finding("open files", Level.PROBLEM, message)
    return Finding("open files", Level.OK, str(facts.files))


def _journal(facts: JournalFacts) -> Finding:
    if facts.fault is not None:
        return Finding("journal", Level.PROBLEM, facts.fault)
    size = f"{facts.segments} segments, {facts.size} bytes"
    if facts.damage:
        message = f"{facts.damage} damaged records in {size}: the disk has not kept what it was given"
        return Finding("journal", Level.PROBLEM, message)
    if facts.holder is not None:
        message = f"{size}, {facts.undelivered} undelivered, {facts.running} running: {facts.holder}"
        return Finding("journal", Level.OK, message)
    if facts.undelivered or facts.running:
        owed = f"{facts.undelivered} outcomes undelivered, {facts.running} attempts lost"
        return Finding("journal", Level.NOTE, f"{owed}: the next worker tells the server (worker outbox lists them)")
    torn = f", {facts.torn} bytes of a torn tail" if facts.torn else ""
    return Finding("journal", Level.OK, f"{size}{torn}, nothing undelivered" if facts.segments else "none yet")


def _server(facts: MachineFacts) -> Iterator[Finding]:
    if facts.server_fault is not None:
        level = Level.PROBLEM if facts.url_named else Level.NOTE
        yield Finding("execution API", level, f"{facts.url}: {facts.server_fault}")
        return
    yield Finding("execution API", Level.OK, facts.url)
    if facts.skew_s is not None:
        off = abs(facts.skew_s) > SKEW_S
        message = f"{facts.skew_s:+.1f} s against the server's"
        yield Finding("clock", Level.PROBLEM if off else Level.OK, message)
    if not facts.token_given:
        yield Finding("worker token", Level.NOTE, "none: a worker that claims needs one (TASKHAND_WORKER_TOKEN)")
    elif facts.token_fault is not None:
        yield Finding("worker token", Level.PROBLEM, facts.token_fault)
    else:
        yield Finding("worker token", Level.OK, "accepted")
