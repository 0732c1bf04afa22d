"""Runtimes: the ways to start a child. Core.

A table with a row for each kind, and what settings may change of a row. A plan says all that differs between kinds, so
that nobody else has to ask of which kind an attempt is.

- `python`: forked from the keeper; our runner. It always says how its task ended, so a silent exit 0 is nobody's
  success: somebody called `os._exit(0)`.
- `command`: any program that speaks frames on an inherited fd. Silence and exit 0 is success, as the specification for
  language SDKs has it.
- `plain`: any program. It knows its task from its environment, and speaks by its exit code.

A stop goes to the process alone where somebody there knows what to do with it, and to its whole group where the leader
is likely to be a shell, which would wait for its command and pass nothing on.
"""

import re
from collections.abc import Mapping
from enum import StrEnum

import msgspec
from msgspec import Struct, field

from protocol.messages.shape import Message
from protocol.vocabulary import TASK
from supervisor.outcome import CODES, Exit, ExitContract

_NOT_IN_NAMES = re.compile(r"[^A-Z0-9]+")


class RuntimeKind(StrEnum):
    """How a child starts and how it speaks."""

    PYTHON = "python"
    COMMAND = "command"
    PLAIN = "plain"


class Row(Struct, frozen=True):
    """What a kind is."""

    forks: bool
    frames: bool
    zero_is_success: bool
    codes: Mapping[int, Exit]
    stops_group: bool
    needs_command: bool


TABLE: dict[RuntimeKind, Row] = {
    RuntimeKind.PYTHON: Row(
        forks=True, frames=True, zero_is_success=False, codes={}, stops_group=False, needs_command=False
    ),
    RuntimeKind.COMMAND: Row(
        forks=False, frames=True, zero_is_success=True, codes=CODES, stops_group=False, needs_command=True
    ),
    RuntimeKind.PLAIN: Row(
        forks=False, frames=False, zero_is_success=True, codes=CODES, stops_group=True, needs_command=False
    ),
}


class Runtime(Struct, frozen=True, forbid_unknown_fields=True):
    """One runtime as settings name it: a kind, and what is different from the kind's row."""

    kind: RuntimeKind
    command: tuple[str, ...] = ()
    """What is executed when the workload does not say."""
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    zero_is_success: bool | None = None
    codes: Mapping[int, Exit] | None = None
    stops_group: bool | None = None
    messages: frozenset[str] | None = None
    """The questions it may ask, by name; None allows all."""


BUILT_IN: dict[str, Runtime] = {kind.value: Runtime(kind) for kind in RuntimeKind}
"""The runtimes that need no settings."""


class Task(Struct, frozen=True):
    """What a child without frames has to know, and what it executes if nothing else is said."""

    ti_id: str
    flow: str
    run_id: str
    task_id: str
    try_number: int
    map_index: int
    file: str | None = None
    checkpoint_dir: str | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)


class SpawnPlan(Struct, frozen=True):
    """How this child starts, and how its end is to be understood."""

    forks: bool
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None
    frames: bool
    contract: ExitContract
    stops_group: bool
    allowed: frozenset[type[Message]] | None


class UnfitError(ValueError):
    """A runtime that cannot run a task, and why."""


def plan(runtime: Runtime, task: Task, command: tuple[str, ...] | None = None) -> SpawnPlan:
    """Decide how a child starts. The workload's command comes first, then the runtime's, then the task's file."""
    row = TABLE[runtime.kind]
    argv = command or runtime.command
    if not row.forks and not argv:
        if row.needs_command or task.file is None:
            raise UnfitError(f"a task of a {runtime.kind} runtime needs a command, and none is given")
        argv = (task.file,)
    zero, codes, group = runtime.zero_is_success, runtime.codes, runtime.stops_group
    return SpawnPlan(
        forks=row.forks,
        argv=() if row.forks else argv,
        env={**(environment(task) if not row.frames else {}), **runtime.env},
        cwd=runtime.cwd,
        frames=row.frames,
        contract=ExitContract(row.zero_is_success if zero is None else zero, row.codes if codes is None else codes),
        stops_group=row.stops_group if group is None else group,
        allowed=None if runtime.messages is None else _messages(runtime.messages),
    )


def environment(task: Task) -> dict[str, str]:
    """Tell a program without frames what it runs for. Arguments are JSON, a name's other characters an underscore."""
    told = {
        "TASKHAND_TI_ID": task.ti_id,
        "TASKHAND_FLOW": task.flow,
        "TASKHAND_RUN_ID": task.run_id,
        "TASKHAND_TASK_ID": task.task_id,
        "TASKHAND_TRY": str(task.try_number),
        "TASKHAND_MAP_INDEX": str(task.map_index),
    }
    if task.checkpoint_dir is not None:
        told["TASKHAND_CHECKPOINT_DIR"] = task.checkpoint_dir
    for name, value in task.arguments.items():
        told[f"TASKHAND_ARG_{_NOT_IN_NAMES.sub('_', name.upper())}"] = msgspec.json.encode(value).decode()
    return told


def _messages(names: frozenset[str]) -> frozenset[type[Message]]:
    known = {message.__name__: message for message in TASK.questions}
    unknown = sorted(names - set(known))
    if unknown:
        raise UnfitError(f"no such message: {', '.join(unknown)}")
    return frozenset(known[name] for name in names)
