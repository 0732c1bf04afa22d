"""What the engine decides, and nothing of how it is done. Values in, values out; time is an argument.

A run is decided from tallies: for each task, how many of its instances are in which state. That is all the trigger
rules look at, and it costs one line per task where a mapped task may have ten thousand instances. `advance` goes over
the tasks in the order of the graph and pretends each decision at once, so that one call carries a failure or a skip all
the way down.

An attempt that stopped or was lost is decided from its task's policy, the tries it has left, and its checkpoint. A
resume costs no try, so it needs a budget of its own: progress renews it. An attempt that resumed and stopped without
proven progress is a *stall*; after `resume_limit` stalls in a row the record before the last is tried, then a fresh
start, and then the instance fails. Attempts that were given too little time to save have more patience (`BRIEF`).
Proven means: beyond the best its records ever named, so that falling back and coming again to the same point proves
nothing; where they name no progress, that there is a new record.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from protocol.flows import FlowGraph, ResumePolicy, TaskSpec, TriggerRule, downstreams
from protocol.messages.checkpoints import StopReason
from protocol.messages.runs import DagRunState
from protocol.states import FINISHED, TaskInstanceState
from server.rules import Event

_S = TaskInstanceState

Tally = Mapping[TaskInstanceState, int]
"""How many instances of a task are in which state."""

MEANT = frozenset({StopReason.USER_KILL, StopReason.TIMEOUT})
"""Stops that are no accident of the infrastructure: someone or something meant the task to stop."""


BRIEF = 4
"""How many times as many stalls it takes while each attempt is ended before it could have saved: that says more about
the machines than about the record, but a record may also be what kills its machine."""


class Plan(Struct, frozen=True):
    """A graph made ready for deciding: each task after all its upstreams."""

    tasks: dict[str, TaskSpec]
    leaves: frozenset[str]
    fail_fast: bool


def plan(graph: FlowGraph) -> Plan:
    """Order the tasks of a sound graph."""
    after = downstreams(graph)
    specs = {task.task_id: task for task in graph.tasks}
    waits = {name: len(set(task.upstreams)) for name, task in specs.items()}
    ready = [name for name, count in waits.items() if not count]
    ordered: dict[str, TaskSpec] = {}
    for name in ready:
        ordered[name] = specs[name]
        for later in after[name]:
            waits[later] -= 1
            if not waits[later]:
                ready.append(later)
    return Plan(ordered, frozenset(name for name, later in after.items() if not later), graph.fail_fast)


class Change(Struct, frozen=True):
    """Something to do to all instances of a task that are still `scheduled`; None as the task means all of the run."""

    task_id: str | None
    event: Event
    why: str


class Expand(Struct, frozen=True):
    """A mapped task may begin: see that it has one instance for each item, and then ask again."""

    task_id: str
    over: str


class Advance(Struct, frozen=True):
    """What to do to a run, and where it then is."""

    changes: list[Change]
    expansions: list[Expand]
    state: DagRunState


def advance(graph: Plan, tallies: Mapping[str, Tally], expanded: Collection[str], *, paused: bool = False) -> Advance:
    """Decide a run. `expanded` are the mapped tasks just made to fit their items; a paused flow queues nothing new."""
    now = {name: dict(tallies.get(name, {})) for name in graph.tasks}
    changes: list[Change] = []
    expansions: list[Expand] = []
    if graph.fail_fast and any(tally.get(_S.FAILED) for tally in now.values()) and not _over(now):
        changes.append(Change(None, Event.FAIL_FAST, "a task failed, and the flow fails fast"))
        now = {name: {_S.SKIPPED: sum(tally.values())} | _failed(tally) for name, tally in now.items()}
    for name, task in graph.tasks.items():
        waiting = now[name].get(_S.SCHEDULED, 0)
        decided = decide(task, [now[upstream] for upstream in dict.fromkeys(task.upstreams)]) if waiting else None
        if decided is None or (paused and decided.event is Event.READY):
            continue
        if decided.event is Event.READY and task.map_over is not None and name not in expanded:
            expansions.append(Expand(name, task.map_over))
            continue
        changes.append(decided)
        _pretend(now[name], decided.event, waiting)
    return Advance(changes, expansions, run_state(graph, now))


def _failed(tally: Tally) -> dict[TaskInstanceState, int]:
    return {_S.FAILED: tally[_S.FAILED]} if tally.get(_S.FAILED) else {}


def _over(tallies: Mapping[str, Tally]) -> bool:
    return all(state in FINISHED for tally in tallies.values() for state in tally)


_LEADS_TO = {Event.READY: _S.QUEUED, Event.SKIP: _S.SKIPPED, Event.UPSTREAM_FAIL: _S.UPSTREAM_FAILED}


def _pretend(tally: dict[TaskInstanceState, int], event: Event, count: int) -> None:
    to = _LEADS_TO[event]
    del tally[_S.SCHEDULED]
    tally[to] = tally.get(to, 0) + count


_FAILURES = frozenset({_S.FAILED, _S.UPSTREAM_FAILED})


def decide(task: TaskSpec, upstreams: list[dict[TaskInstanceState, int]]) -> Change | None:
    """Apply a task's trigger rule to the tallies of its upstreams, which name no state nobody is in. None: it waits."""
    states = set[TaskInstanceState]().union(*upstreams)
    failed, skipped, done = not states.isdisjoint(_FAILURES), _S.SKIPPED in states, states <= FINISHED
    rule = task.trigger_rule

    def change(event: Event, why: str) -> Change:
        return Change(task.task_id, event, f"{rule}: {why}")

    if rule is TriggerRule.ONE_FAILED:
        if failed:
            return change(Event.READY, "an upstream failed")
        return change(Event.SKIP, "no upstream failed") if done else None
    if rule is not TriggerRule.ALL_DONE and failed:
        return change(Event.UPSTREAM_FAIL, "an upstream failed")
    if rule is TriggerRule.ALL_SUCCESS and skipped:
        return change(Event.SKIP, "an upstream was skipped")
    return change(Event.READY, "all upstreams are done" if upstreams else "it has no upstreams") if done else None


def run_state(graph: Plan, tallies: Mapping[str, Tally]) -> DagRunState:
    """Running until nothing is left; then failed when a leaf failed, as Airflow has it."""
    if not _over(tallies):
        return DagRunState.RUNNING
    leaves = (tallies.get(name, {}) for name in graph.leaves)
    failed = any(tally.get(_S.FAILED) or tally.get(_S.UPSTREAM_FAILED) for tally in leaves)
    return DagRunState.FAILED if failed or _failed_fast(graph, tallies) else DagRunState.SUCCESS


def _failed_fast(graph: Plan, tallies: Mapping[str, Tally]) -> bool:
    """A flow that fails fast has skipped its leaves, which must not make a success of it."""
    return graph.fail_fast and any(tally.get(_S.FAILED) for tally in tallies.values())


class Expansion(Struct, frozen=True):
    """What becomes of a mapped task whose upstreams allow it: so many instances, or an event instead."""

    length: int
    event: Event | None
    why: str


def expansion(length: int | None, upstream: Tally, limit: int) -> Expansion:
    """Decide from the length of what it is mapped over; None when there is no list."""
    if length is None and not upstream.get(_S.SUCCESS):
        failed = upstream.get(_S.FAILED) or upstream.get(_S.UPSTREAM_FAILED)
        event = Event.UPSTREAM_FAIL if failed else Event.SKIP
        return Expansion(0, event, "what it is mapped over returned nothing")
    if length is None:
        return Expansion(0, Event.UNMAPPABLE, "what it is mapped over did not return a list")
    if length > limit:
        return Expansion(0, Event.UNMAPPABLE, f"it is mapped over {length} items; {limit} is the limit")
    if not length:
        return Expansion(0, Event.SKIP, "what it is mapped over is empty")
    return Expansion(length, None, f"mapped over {length} items")


# --- stops, losses and what follows -----------------------------------------------------------------------------------


class ResumeFrom(StrEnum):
    """Which record the next attempt begins from."""

    LATEST = "latest"
    PREVIOUS = "previous"
    FRESH = "fresh"


class Standing(Struct, frozen=True):
    """Where an instance stands with its resumes when an attempt ends."""

    stage: ResumeFrom
    """How far it has fallen back."""
    stalls: int
    generations: int
    """How many records are kept."""
    moved: bool
    """The attempt wrote a record."""
    progress: bool
    """The attempt got beyond the best."""
    brief: bool = False
    """It was ended from outside before it had as long as the one before needed to its first record."""


def progressed(best: float | None, last: float | None, *, moved: bool) -> bool:
    """Whether an attempt got on, from the best progress ever named before it and the last one named."""
    if best is not None and last is not None:
        return last > best
    return moved


class Resume(Struct, frozen=True):
    """How to go on. None as the delay holds the instance until a person resumes it."""

    source: ResumeFrom
    stage: ResumeFrom
    stalls: int
    delay: float | None
    why: str
    spent: bool = False


def resume(task: TaskSpec, standing: Standing, stop: StopReason | None) -> Resume:
    """Decide after an attempt stopped on its checkpoint or was lost with one, by policy and budget."""
    after = fall_back(task, standing)
    if after.spent:
        return after
    held = None
    if task.resume is ResumePolicy.MANUAL:
        held = "held, because it resumes by hand only"
    elif stop in MEANT:
        held = f"held, because the stop was a {stop}"
    if held is None:
        return after
    return Resume(after.source, after.stage, after.stalls, None, f"{after.why}; {held}")


_SOURCES = {
    ResumeFrom.LATEST: "the last record",
    ResumeFrom.PREVIOUS: "the record before the last",
    ResumeFrom.FRESH: "the beginning",
}


def fall_back(task: TaskSpec, standing: Standing) -> Resume:
    """Count the stall, and say which record is next. Whoever wrote a record since it fell back goes on from that."""
    if standing.progress:
        return Resume(ResumeFrom.LATEST, ResumeFrom.LATEST, 0, 0.0, "it got on")
    stage, stalls = standing.stage, standing.stalls + 1
    limit = task.resume_limit * (BRIEF if standing.brief else 1)
    if stalls < limit:
        source = ResumeFrom.LATEST if standing.moved else stage
        return Resume(source, stage, stalls, float(min(60, 2**stalls)), f"no progress, {stalls} in a row")
    if stage is ResumeFrom.FRESH:
        return Resume(stage, stage, stalls, None, "starting fresh made no progress either", spent=True)
    older = stage is ResumeFrom.LATEST and standing.generations > 1
    stage = ResumeFrom.PREVIOUS if older else ResumeFrom.FRESH
    return Resume(stage, stage, 0, 0.0, f"no progress, {stalls} in a row; next from {_SOURCES[stage]}")


def hold(standing: Standing, source: ResumeFrom, why: str) -> Resume:
    """Hold an attempt that did not begin, because its record is not to be resumed silently. That is no stall."""
    return Resume(source, standing.stage, standing.stalls, None, f"held: {why}")


_PARTS = {"code": "the code", "inputs": "the inputs", "schema": "the schema of its checkpoints"}


def changed(before: str | None, now: str | None) -> str | None:
    """Say what has changed from one fingerprint to another; None when nothing has, or one of them is not known.

    Our runner's are `part=digest` words. Of what else a runtime may send only that it differs can be said.
    """
    if before is None or now is None or before == now:
        return None
    old, new = (dict(word.partition("=")[::2] for word in text.split()) for text in (before, now))
    names = [told for part, told in _PARTS.items() if old.get(part) != new.get(part)]
    return f"{' and '.join(names) or 'the fingerprint'} changed"


def lost(task: TaskSpec, standing: Standing, *, retry: bool) -> tuple[Event, Resume | None]:
    """Decide after a lease ended: resume from a checkpoint, else retry, else fail."""
    if standing.generations:
        resumed = resume(task, standing, StopReason.FENCED)
        if not resumed.spent:
            return Event.LOST_RESUME, resumed
    return (Event.LOST_RETRY if retry else Event.LOST_FAIL), None


def may_retry(try_number: int, max_tries: int) -> bool:
    """Whether a failure of this try may be followed by another."""
    return max_tries > 0 and try_number <= max_tries


def retry_at(task: TaskSpec, now: datetime, override: float | None) -> datetime:
    """Give the moment of the next try."""
    return now + timedelta(seconds=task.retry_delay_s if override is None else override)
