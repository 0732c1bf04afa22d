"""A flow as the server keeps it: a graph of tasks, and no code.

Whoever submits a flow loads its file and sends this; the server stores it, and decides by it alone what runs when. A
task's arguments are bindings: a literal, what another task returned, or (for a mapped task) this instance's item of the
list another task returned. `problems` is the one judge of a graph, for the author's side and for the server alike, so
that a flow which can be written can be submitted.
"""

from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, field

from protocol.messages.shape import StrictModel
from protocol.messages.startup import BundleInfo, LiteralArgBinding, MappedArgBinding, TaskArgBinding

Name = Annotated[str, Meta(min_length=1, max_length=250, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""What flows, tasks, queues and pools are called: any text of a sane length without control characters."""

Seconds = Annotated[float, Meta(ge=0, le=31_536_000)]
"""A span of at most a year: what is longer is a mistake, and a timer that far ahead would never be noticed missing."""

SomeSeconds = Annotated[float, Meta(gt=0, le=31_536_000)]

Count = Annotated[int, Meta(ge=0, le=1_000_000)]

RETURN_VALUE = "return_value"
"""The key under which what a task returned is kept."""

OutagePolicy = Literal["keep", "stop_after", "checkpoint_after"]
"""What becomes of a running attempt whose server is away: it goes on, is stopped, or is stopped on a checkpoint."""


class TriggerRule(StrEnum):
    """When the ends of its upstreams let a task begin."""

    ALL_SUCCESS = "all_success"
    ALL_DONE = "all_done"
    ONE_FAILED = "one_failed"
    NONE_FAILED = "none_failed"


class ResumePolicy(StrEnum):
    """Who resumes an attempt that ended on a checkpoint."""

    AUTO = "auto"
    MANUAL = "manual"


class ChangePolicy(StrEnum):
    """What to do with a checkpoint that other code, other inputs or another schema wrote."""

    FRESH = "fresh"
    HOLD = "hold"


class TaskSpec(StrictModel, frozen=True, kw_only=True):
    """One task of a flow."""

    task_id: Name
    upstreams: list[Name] = field(default_factory=list)
    """All that must end before it may begin: those it takes values from, and those that only come first."""
    args: list[TaskArgBinding] = field(default_factory=list)
    """In the order of the task's parameters."""
    trigger_rule: TriggerRule = TriggerRule.ALL_SUCCESS
    retries: Count = 0
    retry_delay_s: Seconds = 10.0
    queue: Name = "default"
    pool: Name = "default_pool"
    slots: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    priority: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] = 0
    """Higher is claimed first."""
    runtime: Name | None = None
    """By name; None leaves it to the worker's routing by queue."""
    command: list[str] | None = None
    """What a `plain` or `command` runtime executes."""
    timeout_s: SomeSeconds | None = None
    progress_timeout_s: SomeSeconds | None = None
    grace_s: SomeSeconds | None = None
    """How long it may take to stop when it is asked to."""
    outage: OutagePolicy | None = None
    """None leaves it to the worker."""
    outage_after_s: SomeSeconds | None = None
    """Of silence; None, and at most, as late as the lease allows."""
    resume: ResumePolicy = ResumePolicy.AUTO
    resume_limit: Count = 3
    """Resumes in a row without proven progress, before an older generation is tried."""
    on_change: ChangePolicy = ChangePolicy.FRESH
    map_over: Name | None = None
    """The upstream whose returned list has one item for each instance of this task."""


class FlowGraph(StrictModel, frozen=True, kw_only=True):
    """A flow: its tasks, and where a runner finds its code."""

    dag_id: Name
    tasks: list[TaskSpec]
    dag_rel_path: Annotated[str, Meta(max_length=4096)] = ""
    """The file, relative to the root of its bundle."""
    bundle_info: BundleInfo = BundleInfo("local")
    fail_fast: bool = False
    """End all other tasks when one fails for good."""
    description: str | None = None
    tags: list[str] = field(default_factory=list)


class FlowError(ValueError):
    """A graph that cannot be run, with everything that is wrong with it."""

    def __init__(self, dag_id: str, problems: list[str]) -> None:
        super().__init__(f"flow {dag_id!r}: {'; '.join(problems)}")
        self.problems = problems


def check(graph: FlowGraph) -> None:
    """Raise `FlowError` when the graph has a problem."""
    if found := list(problems(graph)):
        raise FlowError(graph.dag_id, found)


def problems(graph: FlowGraph) -> Iterator[str]:
    """Say all that is wrong with a graph, in sentences for its author. A cycle is only looked for in a sound graph."""
    if not graph.tasks:
        yield "it has no tasks"
    counts = Counter(task.task_id for task in graph.tasks)
    found = [f"two tasks are called {name!r}" for name, count in counts.items() if count > 1]
    for task in graph.tasks:
        found.extend(_problems_of(task, counts.keys()))
    yield from found
    if not found and (cycle := _cycle(graph)):
        yield f"these tasks wait for each other: {' → '.join(cycle)}"


def _problems_of(task: TaskSpec, known: AbstractSet[str]) -> Iterator[str]:
    name, upstreams = task.task_id, set(task.upstreams)
    for upstream in task.upstreams:
        if upstream not in known:
            yield f"task {name!r} comes after {upstream!r}, which is not a task of this flow"
    for argument, count in Counter(binding.name for binding in task.args).items():
        if count > 1:
            yield f"task {name!r} is given the argument {argument!r} twice"
    for binding in task.args:
        if not isinstance(binding, LiteralArgBinding) and binding.task_id not in upstreams:
            yield f"task {name!r} takes {binding.name!r} from {binding.task_id!r} and does not come after it"
    if task.outage == "keep" and task.outage_after_s is not None:
        yield f"task {name!r} is to keep on in an outage, and to stop after {task.outage_after_s:g} s of it"
    yield from _problems_of_map(task)


def _problems_of_map(task: TaskSpec) -> Iterator[str]:
    over = {binding.task_id for binding in task.args if isinstance(binding, MappedArgBinding)}
    for other in sorted(over - {task.map_over}):
        yield f"task {task.task_id!r} takes an item of {other!r}, and is mapped over {task.map_over!r}"
    if task.map_over is not None and task.map_over not in task.upstreams:
        yield f"task {task.task_id!r} is mapped over {task.map_over!r} and does not come after it"


def downstreams(graph: FlowGraph) -> dict[str, list[str]]:
    """Give for each task the tasks that come after it."""
    after: dict[str, list[str]] = {task.task_id: [] for task in graph.tasks}
    for task in graph.tasks:
        for upstream in dict.fromkeys(task.upstreams):
            after[upstream].append(task.task_id)
    return after


def _cycle(graph: FlowGraph) -> list[str]:
    """Give a cycle, or nothing. Tasks are taken away as their last upstream is; what stays is behind or in a cycle."""
    after = downstreams(graph)
    waits = {task.task_id: set(task.upstreams) for task in graph.tasks}
    ready = [name for name, upstreams in waits.items() if not upstreams]
    while ready:
        done = ready.pop()
        del waits[done]
        for name in after[done]:
            waits[name].discard(done)
            if not waits[name]:
                ready.append(name)
    if not waits:
        return []
    path: dict[str, None] = {}
    name = next(iter(waits))
    while name not in path:
        path[name] = None
        name = min(waits[name])
    around = [*path, name]
    return around[around.index(name) :][::-1]
