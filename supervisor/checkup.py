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
MIB = 1024 * 1024
FEW_BYTES = 64 * MIB
LITTLE_BYTES = 1024 * MIB
"""Twice what one attempt's log may have."""


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


class StateFacts(Struct, frozen=True):
    """What is known of the state directory. A fault is a text: nothing can be written there, or a database is newer."""

    path: str = ""
    fault: str | None = None
    open_to_others: bool = False
    free: int | None = None
    """Bytes."""
    database_fault: str | None = None
    sealed_fault: str | None = None


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
    preload_faults: tuple[str, ...] = ()
    """What children were to find imported, and why it is not."""
    state: StateFacts = StateFacts()
    journal: JournalFacts = JournalFacts()
    server_fault: str | None = None
    skew_s: float | None = None
    token_given: bool = False
    token_fault: str | None = None


def check_up(facts: MachineFacts) -> list[Finding]:
    """Give every finding, good ones too."""
    here = [*_keeper(facts), _cgroup(facts), _files(facts), *_state(facts.state), _journal(facts.journal)]
    return [*here, *_server(facts)]


def _keeper(facts: MachineFacts) -> Iterator[Finding]:
    if facts.keeper_fault is not None:
        advice = "no Python task can start; `keeper.entry` and `keeper.env` say what it is started with"
        yield Finding("keeper", Level.PROBLEM, f"{_brief(facts.keeper_fault)}: {advice}")
        return
    level = Level.NOTE if facts.keeper_s > SLOW_S else Level.OK
    yield Finding("keeper", level, f"ready in {facts.keeper_s:.2f} s")
    for fault in facts.preload_faults:
        yield Finding("preload", Level.PROBLEM, f"{_brief(fault)}; mend it, or take it out of `keeper.preload`")


def _brief(fault: str) -> str:
    """A traceback's first line says of what, and its last one why; what is between belongs into no line of ours."""
    lines = fault.strip().splitlines()
    return " … ".join(dict.fromkeys((lines[0], lines[-1])))


def _state(facts: StateFacts) -> Iterator[Finding]:
    if facts.fault is not None:
        advice = (
            "have it owned by the worker's user, or name another with --state-dir, TASKHAND_HOME or worker.state_dir"
        )
        yield Finding("state directory", Level.PROBLEM, f"{facts.path}: {facts.fault}; {advice}")
        return
    if facts.open_to_others:
        message = f"{facts.path}: other users can read the tokens in it; chmod 700 {facts.path}"
        yield Finding("state directory", Level.PROBLEM, message)
    else:
        yield Finding("state directory", Level.OK, facts.path)
    if facts.free is not None and facts.free < LITTLE_BYTES:
        much = f"{facts.free // MIB} MiB left at {facts.path}"
        message = f"{much}: journal, checkpoints and logs are written there; make room, or name another place"
        yield Finding("disk", Level.PROBLEM if facts.free < FEW_BYTES else Level.NOTE, message)
    if facts.database_fault is not None:
        yield Finding("database", Level.PROBLEM, facts.database_fault)
    if facts.sealed_fault is not None:
        yield Finding("keys", Level.PROBLEM, facts.sealed_fault)


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
        what = f"{facts.damage} damaged records in {size}: the disk has not kept what it was given"
        message = f"{what}. The others hold: start a worker, which delivers them, and look at the disk"
        return Finding("journal", Level.PROBLEM, message)
    if facts.holder is not None:
        message = f"{size}, {facts.undelivered} undelivered, {facts.running} running: {facts.holder}"
        return Finding("journal", Level.OK, message)
    if facts.undelivered or facts.running:
        owed = f"{facts.undelivered} outcomes undelivered, {facts.running} attempts without a worker"
        advice = "start one, which adopts what runs and tells the server of the rest (worker outbox lists them)"
        return Finding("journal", Level.NOTE, f"{owed}: {advice}")
    torn = f", {facts.torn} bytes of a torn tail" if facts.torn else ""
    return Finding("journal", Level.OK, f"{size}{torn}, nothing undelivered" if facts.segments else "none yet")


def _server(facts: MachineFacts) -> Iterator[Finding]:
    if facts.server_fault is not None:
        level = Level.PROBLEM if facts.url_named else Level.NOTE
        advice = (
            "is a server up (`worker server`, `worker up`), and is this its address (`api.url`, ending in /execution)?"
        )
        yield Finding("execution API", level, f"{facts.url}: {facts.server_fault}; {advice}")
        return
    yield Finding("execution API", Level.OK, facts.url)
    if facts.skew_s is not None:
        off = abs(facts.skew_s) > SKEW_S
        advice = ": tokens and moments will not fit; set both by the network's time" if off else ""
        message = f"{facts.skew_s:+.1f} s against the server's{advice}"
        yield Finding("clock", Level.PROBLEM if off else Level.OK, message)
    if not facts.token_given:
        yield Finding("worker token", Level.NOTE, "none: a worker that claims needs one (TASKHAND_WORKER_TOKEN)")
    elif facts.token_fault is not None:
        advice = "the server has left the good one in its state directory, in `worker-token`: TASKHAND_WORKER_TOKEN"
        yield Finding("worker token", Level.PROBLEM, f"{facts.token_fault}; {advice}")
    else:
        yield Finding("worker token", Level.OK, "accepted")
