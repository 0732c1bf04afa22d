"""A run is a pipeline: named steps over one record, in the order of `STEPS`.

A step takes what it needs from the record and adds what it made. One that does not apply passes the record on. None of
them catches what the task raises: that is done in one place, `conduct`, which turns it into an outcome; `tell` tells
the outcome, once, and says by the exit code whether it was heard.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from protocol.errors import LocalProtocolError
from protocol.messages.control import GiveReason
from protocol.messages.startup import LiteralArgBinding, MappedArgBinding, StartupDetails, TaskArgBinding
from runner.access import RETURN_VALUE
from runner.client import Client
from runner.context import Context
from runner.faults import AskError, ChannelGarbled, ChannelLost, QuestionFailed
from runner.interrupts import ANSWER_WITHIN, Interrupts
from runner.logs import Log
from runner.outcomes import (
    Checkpointed,
    Exit,
    Failed,
    Interrupted,
    Outcome,
    Raised,
    Rescheduled,
    Returned,
    Saved,
    Stopped,
    TaskInterrupted,
    outcome_of,
    terminal,
)
from runner.points import point
from runner.tracebacks import text_of

CONTEXT = "ctx"
OPTIONS = "__taskhand__"
"""The attribute of a found function that holds what its author gave the task for the runner."""
CO_VARARGS, CO_VARKEYWORDS = 0x04, 0x08

Find = Callable[[str, str, str], Callable[..., Any]]
"""Finds a task's function: the file, the flow, the task."""


@dataclass(slots=True)
class Run:
    """The record."""

    greeting: StartupDetails
    client: Client
    interrupts: Interrupts
    context: Context
    log: Log
    find: Find
    roots: Mapping[str, str]
    """Where each bundle's code is."""
    function: Callable[..., Any] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    value: Any = None
    outcome: Outcome | None = None


# --- the steps --------------------------------------------------------------------------------------------------------


def clear(run: Run) -> None:
    """Remove what an earlier try of this task handed on."""
    for key in run.greeting.ti_context.xcom_keys_to_clear or ():
        run.context.xcom.delete(key)


def load(run: Run) -> None:
    """Find the task's function in its file."""
    name = run.greeting.bundle_info.name
    if name not in run.roots:
        raise LookupError(f"there is no bundle {name!r} here; there are {', '.join(sorted(run.roots))}")
    path = f"{run.roots[name].rstrip('/')}/{run.greeting.dag_rel_path}"
    run.function = run.find(path, run.greeting.ti.dag_id, run.greeting.ti.task_id)


def bind(run: Run) -> None:
    """Get the arguments, and `ctx` when it is wanted."""
    for binding in run.greeting.ti_context.arg_bindings or ():
        run.arguments[binding.name] = argument(binding, run.context)
    if run.function is not None:
        own: Mapping[str, Any] = getattr(run.function, OPTIONS, {})
        run.context.runs(run.function, run.arguments, own.get("checkpoint_schema"))
        if wants_context(run.function):
            run.arguments[CONTEXT] = run.context


def call(run: Run) -> None:
    """Run the task's own code."""
    if run.function is None:
        return
    run.value = run.function(**run.arguments)
    # Looked at by name: a task that is not `async` pays for no import.
    if type(run.value).__name__ == "coroutine":
        from runner.coroutines import run as run_coroutine  # noqa: PLC0415 - asyncio costs 20 ms and most do without

        run.value = run_coroutine(run.value, run.interrupts)
    if run.interrupts.stop.at_save:  # in a thread that nobody asked how it ended, or it was caught
        raise Checkpointed("the task returned although a save had stopped it: it is not done")
    if run.interrupts.cut_short:
        raise TaskInterrupted(
            "the task returned although a stop had interrupted it: only ctx.finished() says it is done"
        )


def push(run: Run) -> None:
    """Hand on what the task returned. Nothing is None already, except among the values of a mapped task."""
    if run.value is None and run.context.map_index < 0:
        return
    length = len(run.value) if isinstance(run.value, list | tuple) else None
    try:
        run.context.xcom.set(RETURN_VALUE, run.value, mapped_length=length)
    except LocalProtocolError as error:
        raise TypeError(f"what the task returned cannot be handed on: {error}") from error
    except QuestionFailed as error:  # too long for the server, or no JSON, or the server is ill: the error says which
        error.args = (f"what the task returned could not be handed on: {error}",)
        raise


STEPS: tuple[Callable[[Run], None], ...] = (clear, load, bind, call, push)


def argument(binding: TaskArgBinding, context: Context) -> Any:  # noqa: ANN401 - whatever it is bound to
    """Get one argument's value."""
    if isinstance(binding, LiteralArgBinding):
        return binding.value
    if isinstance(binding, MappedArgBinding):
        values = context.xcom.get(binding.task_id)
        # What a mapped task returned is not one list, but a value of each of its instances.
        return context.xcom.item(binding.task_id, context.map_index) if values is None else values[context.map_index]
    if (binding.value_schema or {}).get("x-mapped"):
        return context.xcom.all(binding.task_id)
    return context.xcom.get(binding.task_id)


def wants_context(function: Callable[..., Any]) -> bool:
    """Say whether a function, or the one it wraps, has a parameter `ctx`."""
    while inner := getattr(function, "__wrapped__", None) or getattr(function, "func", None):
        function = inner
    code = getattr(function, "__code__", None) or getattr(getattr(function, "__call__", None), "__code__", None)  # noqa: B004 - its code is wanted, not whether it is there
    if code is None:
        return False
    return CONTEXT in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


# --- the end ----------------------------------------------------------------------------------------------------------


def conduct(run: Run, steps: tuple[Callable[[Run], None], ...] = STEPS) -> Outcome:
    """Take the steps, and give the outcome, whatever happens."""
    try:
        try:
            run.interrupts.open()
            for step in steps:
                step(run)
            run.outcome = Returned()
        finally:
            run.interrupts.close()
    except BaseException as error:  # noqa: BLE001 - the one place
        run.interrupts.close()
        if run.outcome is None:
            run.outcome = outcome_of(error, datetime.now(UTC), run.interrupts.stop)
            _say(run, error)
            if isinstance(run.outcome, Saved | Interrupted) and run.interrupts.on_record:
                _call_back(run)
    return run.outcome


def tell(run: Run, outcome: Outcome) -> Exit:
    """Tell the outcome, and say whether it was heard."""
    message = terminal(outcome, datetime.now(UTC), should_retry=run.greeting.ti_context.should_retry)
    if message is None:
        return Exit.INTERRUPTED
    try:
        if isinstance(outcome, Rescheduled) and outcome.reason:
            _explain(run, outcome.reason)
        point("child.end.asked")
        run.client.ask(message)
        point("child.end.acknowledged")
    except (AskError, LocalProtocolError) as error:
        run.log.write("error", "the outcome was refused", {"outcome": type(message).__name__}, error)
        return Exit.UNTOLD
    except ChannelLost as error:
        run.log.write("error", "the outcome could not be told", {"outcome": type(message).__name__}, error)
        return Exit.CHANNEL_GARBLED if isinstance(error, ChannelGarbled) else Exit.CHANNEL_LOST
    return Exit.TOLD


def _explain(run: Run, reason: str) -> None:
    """Say why, where the word has no room for it. A supervisor that does not know the question may never answer."""
    try:
        run.client.ask(GiveReason(reason), ANSWER_WITHIN)
    except (AskError, TimeoutError, LocalProtocolError) as error:
        run.log.write("debug", "the reason stays in the log", {}, error)


def _call_back(run: Run) -> None:
    """Call `on_checkpoint`, which the author wants to know of it. Whatever it does, the attempt has its outcome."""
    callback = getattr(run.function, OPTIONS, {}).get("on_checkpoint")
    if callback is not None:
        try:
            callback(run.context)
        except BaseException as error:  # noqa: BLE001 - a notice that failed
            run.log.write("error", "on_checkpoint failed", {}, error)


def _say(run: Run, error: BaseException) -> None:
    """Put into the log why it did not return."""
    if isinstance(run.outcome, Raised | Failed):
        run.log.write("error", "the task failed", {}, error)
    elif isinstance(run.outcome, Saved | Interrupted) and (error.__cause__ or not isinstance(error, Stopped)):
        run.log.write("warning", "the task raised as it stopped", {}, error)
    else:
        run.log.info("the task ended early", outcome=type(error).__name__, reason=text_of(error))
