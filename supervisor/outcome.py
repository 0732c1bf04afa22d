"""How an attempt ended: the truth table.

**Theory.** An attempt's end is seen from several sides: what the task said, how its process ended, why it was stopped
if it was, and what the server last said about it. They arrive in any order and contradict each other: a task says
`success` and then dies of SIGSEGV in a destructor; a server that has given the attempt up never hears of its success.
So the end is decided once, here, from all of it, by the first row that fits. Reading downwards:

1. A server that never let the attempt start has nothing to be told.
2. What the task said and the server took stands, whatever happened after it. What the task said and the server has not
   heard yet stands as well and is told now, unless the server gave the attempt up in the meantime.
3. A server that gave the attempt up (404, 409, 410) is told nothing more.
4. A silent end has a cause when the supervisor made it end: a person's kill, a broken conversation, a process that
   never came up, a deadline. That cause is the kind of the failure, whatever the exit looks like, because the exit is
   then our own signal's doing.
5. A code of the runtime's contract is the word of a program that has no other.
6. An interruption (drain, eviction, deployment, memory pressure, a lease that ended) is nobody's failure: it is
   `checkpointed` when there is a checkpoint to resume from, and otherwise goes back to the queue as a reschedule, which
   every server can express and which spends no retry. It never ends as success: exit 0 after SIGTERM may mean finished
   or may mean stopped, and only the first would be a success.
7. What is left is the exit itself. Exit 0 is a success only where the runtime's contract says that silence means it.

Every combination of inputs is a cell: the test walks all of them, and finds a row for each and a use for each row.
`docs/outcomes.md` is drawn from the rows; tests/system runs each with a real process.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from protocol.messages.checkpoints import StopReason
from protocol.states import TaskInstanceState


class Outcome(StrEnum):
    """How an attempt ended. All but the last two are states of the task instance."""

    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"
    REMOVED = "removed"
    UP_FOR_RETRY = "up_for_retry"
    UP_FOR_RESCHEDULE = "up_for_reschedule"
    DEFERRED = "deferred"
    AWAITING_INPUT = "awaiting_input"
    CHECKPOINTED = "checkpointed"
    SERVER_TERMINATED = "server_terminated"
    NOT_STARTED = "not_started"


GOES_ON = frozenset({Outcome.UP_FOR_RETRY, Outcome.UP_FOR_RESCHEDULE, Outcome.CHECKPOINTED})
"""After these there will be another attempt that may want what this one had."""


class FailureKind(StrEnum):
    """What an end that nobody wished for was made of."""

    APP = "app"
    OOM = "oom"
    TIMEOUT = "timeout"
    EVICTED = "evicted"
    LOST = "lost"
    FENCED = "fenced"
    PROTOCOL = "protocol"
    BOOT = "boot"
    NO_OUTCOME = "no_outcome"
    KILLED = "killed"
    """By a person. Not in Airflow's words, but neither is it an eviction: nobody is to start it again."""


class Standing(StrEnum):
    """Where the task's own word stands."""

    SILENT = "silent"
    PENDING = "pending"
    """Said, and not yet taken by the server."""
    TOLD = "told"


class Exit(StrEnum):
    """How the process ended, as far as the decision cares."""

    ZERO = "0"
    CHECKPOINT_CODE = "checkpoint code"
    SKIP_CODE = "skip code"
    RETRY_CODE = "retry code"
    FAIL_CODE = "fail code"
    CODE = "other code"
    SIGNAL = "signal"
    OOM = "signal, out of memory"
    """Proved by the cgroup's events or the kernel's record. A bare SIGKILL proves nothing."""
    LOST = "unknown"
    """Gone, and nobody kept its status."""
    NEVER = "never ran"
    """There was no process: it could not be started."""


class Cause(StrEnum):
    """Why the supervisor made it end, if it did. The first one counts: the later ones met a dying process."""

    NONE = "none"
    INTERRUPTED = "interrupted"
    FENCED = "fenced"
    KILLED = "killed"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    BOOT = "boot"


class Server(StrEnum):
    """What the server last said about this attempt."""

    WILLING = "may run"
    TERMINATED = "may not run"
    REFUSED = "may not start"


class Tell(StrEnum):
    """What is told to the server at the end."""

    NOTHING = "nothing"
    MESSAGE = "the message"
    SUCCESS = "success"
    FAILED = "failed"
    RETRY = "up_for_retry"
    SKIPPED = "skipped"
    CHECKPOINTED = "checkpointed"
    RESCHEDULE = "up_for_reschedule, now"


CODES: dict[int, Exit] = {85: Exit.CHECKPOINT_CODE, 99: Exit.SKIP_CODE, 75: Exit.RETRY_CODE}


class ExitContract(Struct, frozen=True):
    """What a runtime's exit codes mean when the program said nothing else."""

    zero_is_success: bool
    codes: Mapping[int, Exit] = field(default_factory=lambda: CODES)


class Facts(Struct, frozen=True):
    """All that the decision looks at."""

    standing: Standing
    exit: Exit
    cause: Cause
    server: Server
    retries_left: bool
    zero_is_success: bool
    checkpoint: bool


class Verdict(Struct, frozen=True):
    """What the attempt came to: the row that decided, its outcome (None: as said), its kind, and what is told."""

    row: str
    outcome: Outcome | None
    kind: FailureKind | None
    tell: Tell


class Row(Struct, frozen=True):
    """One row: what it asks of each input (None: anything), and its verdict."""

    verdict: Verdict
    standing: Standing | None = None
    exit: frozenset[Exit] | None = None
    cause: frozenset[Cause] | None = None
    server: Server | None = None
    retries_left: bool | None = None
    zero_is_success: bool | None = None
    checkpoint: bool | None = None

    def fits(self, facts: Facts) -> bool:
        """Say whether this row decides these facts, no earlier one having done so."""
        return (
            self.standing in (None, facts.standing)
            and self.server in (None, facts.server)
            and (self.cause is None or facts.cause in self.cause)
            and (self.exit is None or facts.exit in self.exit)
            and self.retries_left in (None, facts.retries_left)
            and self.zero_is_success in (None, facts.zero_is_success)
            and self.checkpoint in (None, facts.checkpoint)
        )


def _failure(name: str, kind: FailureKind, *, exit_: Exit | None = None, cause: Cause | None = None) -> tuple[Row, Row]:
    """Give the two rows of a failure: another try while there is one, and the end after that."""
    exits = None if exit_ is None else frozenset({exit_})
    causes = None if cause is None else frozenset({cause})
    again = Verdict(f"{name}, retry", Outcome.UP_FOR_RETRY, kind, Tell.RETRY)
    final = Verdict(name, Outcome.FAILED, kind, Tell.FAILED)
    return Row(again, exit=exits, cause=causes, retries_left=True), Row(final, exit=exits, cause=causes)


_K = FailureKind
_O = Outcome
_INTERRUPTIONS = frozenset({Cause.INTERRUPTED, Cause.FENCED})
_ONLY = frozenset

ROWS: tuple[Row, ...] = (
    Row(Verdict("start refused", _O.NOT_STARTED, None, Tell.NOTHING), server=Server.REFUSED),
    Row(Verdict("said and told", None, None, Tell.NOTHING), standing=Standing.TOLD),
    Row(
        Verdict("said too late", _O.SERVER_TERMINATED, _K.FENCED, Tell.NOTHING),
        standing=Standing.PENDING,
        server=Server.TERMINATED,
    ),
    Row(Verdict("said, told at the end", None, None, Tell.MESSAGE), standing=Standing.PENDING),
    Row(Verdict("terminated by the server", _O.SERVER_TERMINATED, _K.FENCED, Tell.NOTHING), server=Server.TERMINATED),
    Row(Verdict("killed by a person", _O.FAILED, _K.KILLED, Tell.FAILED), cause=_ONLY({Cause.KILLED})),
    *_failure("broken conversation", _K.PROTOCOL, cause=Cause.PROTOCOL),
    *_failure("never came up", _K.BOOT, cause=Cause.BOOT),
    *_failure("out of time", _K.TIMEOUT, cause=Cause.TIMEOUT),
    Row(Verdict("code: checkpointed", _O.CHECKPOINTED, None, Tell.CHECKPOINTED), exit=_ONLY({Exit.CHECKPOINT_CODE})),
    Row(Verdict("code: skipped", _O.SKIPPED, None, Tell.SKIPPED), exit=_ONLY({Exit.SKIP_CODE})),
    Row(Verdict("code: retry", _O.UP_FOR_RETRY, _K.APP, Tell.RETRY), exit=_ONLY({Exit.RETRY_CODE}), retries_left=True),
    Row(Verdict("code: retry, none left", _O.FAILED, _K.APP, Tell.FAILED), exit=_ONLY({Exit.RETRY_CODE})),
    Row(Verdict("code: failed", _O.FAILED, _K.APP, Tell.FAILED), exit=_ONLY({Exit.FAIL_CODE})),
    Row(
        Verdict("stopped on a checkpoint", _O.CHECKPOINTED, None, Tell.CHECKPOINTED),
        cause=_INTERRUPTIONS,
        checkpoint=True,
    ),
    Row(Verdict("evicted", _O.UP_FOR_RESCHEDULE, _K.EVICTED, Tell.RESCHEDULE), cause=_ONLY({Cause.INTERRUPTED})),
    Row(Verdict("lease ended", _O.UP_FOR_RESCHEDULE, _K.FENCED, Tell.RESCHEDULE), cause=_ONLY({Cause.FENCED})),
    *_failure("never started", _K.BOOT, exit_=Exit.NEVER),
    Row(Verdict("exit 0", _O.SUCCESS, None, Tell.SUCCESS), exit=_ONLY({Exit.ZERO}), zero_is_success=True),
    *_failure("no outcome", _K.NO_OUTCOME, exit_=Exit.ZERO),
    *_failure("out of memory", _K.OOM, exit_=Exit.OOM),
    *_failure("lost", _K.LOST, exit_=Exit.LOST),
    *_failure("signal", _K.APP, exit_=Exit.SIGNAL),
    *_failure("code", _K.APP),
)

CAUSES: dict[StopReason, Cause] = {
    StopReason.DRAIN: Cause.INTERRUPTED,
    StopReason.EVICT: Cause.INTERRUPTED,
    StopReason.DEPLOY: Cause.INTERRUPTED,
    StopReason.MEMORY_PRESSURE: Cause.INTERRUPTED,
    StopReason.FENCED: Cause.FENCED,
    StopReason.USER_KILL: Cause.KILLED,
    StopReason.TIMEOUT: Cause.TIMEOUT,
}


def decide(facts: Facts) -> Verdict:
    """Give the verdict of the first row that fits. The last row fits everything that is left."""
    return next(row.verdict for row in ROWS if row.fits(facts))


def exit_of(code: int | None, signal: int | None, contract: ExitContract, *, out_of_memory: bool = False) -> Exit:
    """Class an exit status. Neither code nor signal means that nobody kept it."""
    if signal is not None:
        return Exit.OOM if out_of_memory else Exit.SIGNAL
    if code is None:
        return Exit.LOST
    if code == 0:
        return Exit.ZERO
    return contract.codes.get(code, Exit.CODE)


def outcome_of(verdict: Verdict, said: TaskInstanceState | None) -> Outcome:
    """Give the outcome itself: the verdict's own, or what the task said."""
    if verdict.outcome is not None:
        return verdict.outcome
    if said is None:
        raise ValueError(f"the row {verdict.row!r} needs what the task said")
    return Outcome(said)


def kind_of(verdict: Verdict, outcome: Outcome) -> FailureKind | None:
    """Give the kind. A failure that the task itself told of is the application's."""
    told = verdict.kind is None and outcome in {Outcome.FAILED, Outcome.UP_FOR_RETRY}
    return FailureKind.APP if told else verdict.kind


def draw() -> str:
    """Draw the rows as a page for `docs/outcomes.md`."""
    head = (
        "| # | row | said | exit | cause | server | retries left | 0 is success | checkpoint | outcome | kind | told |"
    )
    lines = [_line(number, row) for number, row in enumerate(ROWS, start=1)]
    return "\n".join([_INTRODUCTION, head, "|---" * 12 + "|", *lines, ""])


_INTRODUCTION = """\
# How an attempt ends

Drawn from `supervisor/outcome.py` by its test; do not edit. The first row that fits decides; an empty cell fits
anything.
"""


def _line(number: int, row: Row) -> str:
    verdict = row.verdict
    cells = [
        str(number),
        verdict.row,
        row.standing or "",
        " / ".join(sorted(row.exit or ())),
        " / ".join(sorted(row.cause or ())),
        row.server or "",
        _word(row.retries_left),
        _word(row.zero_is_success),
        _word(row.checkpoint),
        f"`{verdict.outcome}`" if verdict.outcome else "as said",
        verdict.kind or "",
        verdict.tell,
    ]
    return f"| {' | '.join(cells)} |"


def _word(value: bool | None) -> str:  # noqa: FBT001 - one cell of a table, as it stands there
    return "" if value is None else ("yes" if value else "no")
