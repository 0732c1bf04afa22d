"""What is kept of an attempt when it is over, and what its child is greeted with. Values only."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct, structs

from protocol.http.workloads import ExecuteTask, WorkloadInstance
from protocol.messages.checkpoints import StopReason, StopRequest
from protocol.messages.startup import StartupDetails, TaskInstance, TIRunContext
from supervisor.explaining import End, late, why
from supervisor.keeper.children import Child, Ending
from supervisor.lifecycle import Lifecycle
from supervisor.machines import Lease, Report
from supervisor.outcome import FailureKind, Outcome, Tell, Verdict, decide, kind_of, outcome_of


class Record(Struct, frozen=True, kw_only=True):
    """One attempt, told whole."""

    ti_id: UUID
    outcome: Outcome
    kind: FailureKind | None
    row: str
    """The row of the truth table that decided."""
    why: str
    """Why it failed, in words, where it was we who said so."""
    name: str
    """Which task instance: flow/run/task[map]."""
    reported: bool
    """Whether the server knows. False when it refused to hear, too."""
    exit: int | None
    signal: int | None
    reason: StopReason | None
    wall_s: float
    cpu_s: float | None
    max_rss: int | None
    questions: int
    frame_bytes: int
    log_bytes: int


def usage_of(ending: Ending | None) -> dict[str, Any]:
    """Give what the process's end says of it, as fields of a record."""
    if ending is None:
        return dict.fromkeys(("exit", "signal", "cpu_s", "max_rss"))
    usage = ending.usage
    return {
        "exit": ending.code,
        "signal": ending.signal,
        "cpu_s": None if usage is None else round(usage.user_s + usage.system_s, 6),
        "max_rss": None if usage is None else usage.max_rss,
    }


def status_of(child: Child) -> tuple[int | None, int | None, bool]:
    """Give code, signal, and whether it was out of memory, as far as it is known of a child that has ended."""
    if child.ended.done():
        ending = child.ended.result()
        return ending.code, ending.signal, ending.oom_kills > 0
    exited = child.exited.result()
    return exited.code, exited.signal, False


NEVER_ASKED = Verdict("no leave to start", Outcome.NOT_STARTED, None, Tell.NOTHING)
"""Of one that ended before the server had said that it may run: nothing of it has happened, and nothing is owed."""


def verdict_of(core: Lifecycle) -> Verdict:
    """Give the verdict of an attempt that is finished; of another, what it comes to if nothing more is heard."""
    if core.verdict is not None:
        return core.verdict
    return NEVER_ASKED if core.lease in {Lease.UNASKED, Lease.ASKED} else decide(core.facts())


def record_of(ti: WorkloadInstance, core: Lifecycle, ending: Ending | None, why: str, **counted: Any) -> Record:  # noqa: ANN401 - the record's own fields
    """Give the record of an attempt."""
    verdict = verdict_of(core)
    outcome = outcome_of(verdict, core.said)
    return Record(
        ti_id=ti.id,
        name=f"{ti.dag_id}/{ti.run_id}/{ti.task_id}" + (f"[{ti.map_index}]" if ti.map_index >= 0 else ""),
        outcome=outcome,
        kind=kind_of(verdict, outcome),
        row=verdict.row,
        why=why,
        reported=core.report is Report.TOLD,
        reason=core.reason,
        **usage_of(ending),
        **counted,
    )


def summary(record: Record) -> dict[str, object]:
    """Give what the attempt's log ends with."""
    fields = structs.asdict(record)
    return {name: fields[name] for name in FACTS if fields[name] not in (None, "") or name in FACTS[:3]}


FACTS = ("outcome", "kind", "row", "why", "exit", "signal", "wall_s", "cpu_s", "max_rss")


def why_of(core: Lifecycle, child: Child | None, fault: str) -> str:
    """Say why it failed; nothing where it did not, or where the task has said it."""
    if core.verdict is None or core.verdict.outcome is None or core.verdict.kind is None:
        return ""
    code, number, _ = (None, None, False) if child is None else status_of(child)
    terminated = core.verdict.outcome is Outcome.SERVER_TERMINATED
    return why(
        End(core.verdict.kind, code, number, core.overdue, core.policy.talks, fault, core.reason or "", terminated)
    )


def request_of_stop(core: Lifecycle, now: float, today: datetime) -> StopRequest | None:
    """Say what a task is told of the stop under way: why, and until when. The same moment, by two clocks."""
    if core.stop is None or core.reason is None:
        return None
    return StopRequest(core.reason, today + timedelta(seconds=max(core.stop.deadline - now, 0.0)))


def occasion_of(core: Lifecycle) -> str:
    """Say why it is being stopped."""
    if core.reason is not None:
        return str(core.reason) if core.overdue is None else f"{core.reason}: {late(core.overdue)}"
    return str(core.cause) if core.overdue is None else late(core.overdue)


_COMMON = tuple(name for name in TaskInstance.__struct_fields__ if name != "hostname")


def greeting(workload: ExecuteTask, context: TIRunContext, hostname: str, now: datetime) -> StartupDetails:
    """Give what the child needs to begin. The token is not among it."""
    values = {name: getattr(workload.ti, name) for name in _COMMON}
    return StartupDetails(
        ti=TaskInstance(**values, hostname=hostname),
        dag_rel_path=workload.dag_rel_path,
        bundle_info=workload.bundle_info,
        start_date=context.start_date or now,
        ti_context=context,
        sentry_integration=workload.sentry_integration,
    )


def line_of(record: Record) -> dict[str, object]:
    """Give what `worker exec --json` prints."""
    fields = structs.asdict(record) | {"undelivered": is_owed(record)}
    return {name: fields[name] for name in LINE}


def is_owed(record: Record) -> bool:
    """Whether the server is still to be told: it let it run, and has neither heard of its end nor given it up."""
    return not record.reported and record.outcome not in {Outcome.NOT_STARTED, Outcome.SERVER_TERMINATED}


LINE = ("ti_id", "outcome", "kind", "exit", "signal", "reported", "undelivered", "wall_s", "cpu_s", "max_rss")
