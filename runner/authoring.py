"""What authors of flows write with: `@task`, `@flow` and `shell`; and how a flow is found in its file.

    @task(retries=2)
    def extract() -> list[int]: ...

    @task
    def train(row: int, ctx) -> float: ...

    @flow
    def pipeline():
        total(train.map(extract()))

The server gets the graph (`Flow.graph`), never code. The runner finds the function of a task by `find_task`.
"""

import functools
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, overload

import msgspec

from protocol.flows import FlowError, FlowGraph, TaskSpec, check
from protocol.messages.startup import BundleInfo, LiteralArgBinding, TaskArgBinding
from runner.graphing import CONTEXT, AuthoringError, Drawing, Result, arguments, current, draw, place

_SPANS = {
    "retry_delay": "retry_delay_s",
    "timeout": "timeout_s",
    "progress_timeout": "progress_timeout_s",
    "grace": "grace_s",
    "outage_after": "outage_after_s",
}
"""Spans as authors say them (seconds or a timedelta), and as they are kept."""

_SET_BY_CALLS = {"task_id", "upstreams", "args", "map_over", *_SPANS.values()}
OWN = frozenset({"on_checkpoint", "checkpoint_schema"})
"""Options that stay with the code: what is called when an attempt ends on a checkpoint, and what its data means."""

OPTIONS = "__taskhand__"
"""The attribute of a found function that holds them."""

_OPTIONS = sorted(({*TaskSpec.__struct_fields__, *_SPANS, *OWN, "name"}) - _SET_BY_CALLS)


def _spec(name: str, options: Mapping[str, Any]) -> TaskSpec:
    """Make a spec of what an author wrote, or say what is wrong with it."""
    for option in options:
        if option not in _OPTIONS:
            raise AuthoringError(place(), f"a task has no option {option!r}; it has {', '.join(_OPTIONS)}")
    if not callable(options.get("on_checkpoint", callable)):
        raise AuthoringError(place(), f"task {name!r}: on_checkpoint is a function that takes ctx")
    fields = {_SPANS.get(key, key): value for key, value in options.items() if key not in OWN}
    named = fields.pop("name", None) or name
    spans = {key: value.total_seconds() for key, value in fields.items() if isinstance(value, timedelta)}
    try:
        return msgspec.convert({"task_id": named} | fields | spans, TaskSpec)
    except msgspec.ValidationError as error:
        raise AuthoringError(place(), f"task {named!r}: {error}") from None


class Task:
    """A function that a flow may call. Outside of a flow it is that function."""

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.spec = _spec(function.__name__, options)
        self._options = dict(options)
        self._given = dict(given)

    @property
    def name(self) -> str:
        """The id of the task where it is called once."""
        return self.spec.task_id

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - what the function takes and returns
        """In a flow: add it, and give a stand-in for what it will return. Elsewhere: run it."""
        drawing = current()
        if drawing is None:
            return self.function(*args, **self._given, **kwargs)
        values = arguments(self.function, args, self._given | kwargs)
        bound = [drawing.bind(name, value) for name, value in values.items()]
        return self._add(drawing, bound, None)

    def partial(self, **kwargs: Any) -> "Task":  # noqa: ANN401 - what the function takes
        """Give the task with some arguments passed: what `map` passes to each of its instances alike."""
        return Task(self.function, self._options, self._given | kwargs)

    def map(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as __call__
        """Run one instance for each item of the list that another task returns."""
        drawing = current()
        if drawing is None:
            return _map_here(self, args, kwargs)
        values = arguments(self.function, args, kwargs, partial=True)
        over = [value for value in values.values() if isinstance(value, Result)]
        if len(over) != 1 or len(values) != 1:
            raise AuthoringError(
                place(), f"{self.name}.map() takes the result of one task; pass what is the same for all by .partial()"
            )
        arguments(self.function, (), self._given | values)
        bound = [drawing.bind(name, value) for name, value in self._given.items()]
        bound += [drawing.bind(name, value, each=True) for name, value in values.items()]
        return self._add(drawing, bound, over[0].task_id)

    def with_options(self, **options: Any) -> "Task":  # noqa: ANN401 - options have their own types
        """Give the same task with other options, such as another `name`."""
        return Task(self.function, self._options | options, self._given)

    def _add(self, drawing: Drawing, bound: list[TaskArgBinding], over: str | None) -> Result:
        spec = msgspec.structs.replace(_after_its_arguments(self.spec, bound), map_over=over)
        return drawing.add(spec, self.function, self.own)

    @property
    def own(self) -> dict[str, Any]:
        """The options that only the runner needs."""
        return {key: value for key, value in self._options.items() if key in OWN}


def _map_here(task: Task, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    """Outside of a flow: one call after the other."""
    if len(args) + len(kwargs) != 1:
        raise AuthoringError(place(), f"{task.name}.map() takes one list; pass what is the same for all by .partial()")
    if args:
        return [task(item) for item in args[0]]
    name, items = next(iter(kwargs.items()))
    return [task(**{name: item}) for item in items]


class Flow:
    """A function whose calls of tasks are a graph."""

    def __init__(self, function: Callable[..., Any], name: str | None, options: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name or function.__name__
        self._options = dict(options)

    @functools.cached_property
    def file(self) -> Path:
        """Where it is. Asked by who draws it: a child that only looks for a task has no use for it."""
        return Path(self.function.__code__.co_filename).resolve()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - what the function takes and returns
        """Run it here and now, task after task, in this process: for trying it out."""
        if (outer := current()) is not None:
            raise AuthoringError(place(), f"flow {self.name!r} is called inside of flow {outer.name!r}: call its tasks")
        return self.function(*args, **kwargs)

    def draw(self, **params: Any) -> Drawing:  # noqa: ANN401 - the flow's own parameters
        """Run the function for its graph, with values for its parameters."""
        line = f"{self.file}:{self.function.__code__.co_firstlineno}"
        with draw(self.name) as drawing:
            values = arguments(self.function, (), params)
            try:
                self.function(**values)
            except AuthoringError:
                raise
            except Exception as error:
                raise AuthoringError(_place_in(self.file, error) or line, f"{type(error).__name__}: {error}") from error
        return drawing

    def graph(self, **params: Any) -> FlowGraph:  # noqa: ANN401 - the flow's own parameters
        """Give what is submitted."""
        drawing = self.draw(**params)
        line = f"{self.file}:{self.function.__code__.co_firstlineno}"
        fields = {
            "dag_id": self.name,
            "dag_rel_path": str(self.file).lstrip("/"),
            "description": (self.function.__doc__ or "").strip() or None,
            **self._options,
        }
        try:
            graph = msgspec.convert(fields | {"tasks": []}, FlowGraph)
            graph = msgspec.structs.replace(
                graph, tasks=[node.finished() for node in drawing.nodes.values()], bundle_info=BundleInfo("local")
            )
            check(graph)
        except (FlowError, msgspec.ValidationError) as error:
            raise AuthoringError(line, str(error)) from None
        return graph


@overload
def task(function: Callable[..., Any], /) -> Task: ...
@overload
def task(**options: Any) -> Callable[[Callable[..., Any]], Task]: ...  # noqa: ANN401 - each option has its own type
def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a task. Options are the fields of `TaskSpec`; spans are seconds or a timedelta."""
    if function is None:
        _spec("task", options)
        return lambda decorated: Task(decorated, options, {})
    return Task(function, options, {})


@overload
def flow(function: Callable[..., Any], /) -> Flow: ...
@overload
def flow(*, name: str | None = None, **options: Any) -> Callable[[Callable[..., Any]], Flow]: ...  # noqa: ANN401 - as task
def flow(function: Callable[..., Any] | None = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Make a function a flow. Options: `fail_fast`, `tags`, `description`."""
    known = {"fail_fast", "tags", "description"}
    for option in options:
        if option not in known:
            raise AuthoringError(place(), f"a flow has no option {option!r}; it has name, {', '.join(sorted(known))}")
    if function is None:
        return lambda decorated: Flow(decorated, name, options)
    return Flow(function, name, options)


def shell(name: str, script: str, *, args: Mapping[str, Any] | None = None, **options: Any) -> Result:  # noqa: ANN401 - as task
    """Add a task that is a shell script. Its arguments are in `TASKHAND_ARG_<NAME>`, as JSON."""
    drawing = current()
    if drawing is None:
        raise AuthoringError(place(), f"shell({name!r}, …) draws a task: call it inside of a flow")
    defaults = {"runtime": "plain", "command": ["/bin/sh", "-euc", script]}
    bound = [drawing.bind(key, value) for key, value in (args or {}).items()]
    return drawing.add(_after_its_arguments(_spec(name, defaults | options), bound), None)


def _after_its_arguments(spec: TaskSpec, bound: list[TaskArgBinding]) -> TaskSpec:
    upstreams = dict.fromkeys(binding.task_id for binding in bound if not isinstance(binding, LiteralArgBinding))
    return msgspec.structs.replace(spec, args=bound, upstreams=list(upstreams))


# --- files ------------------------------------------------------------------------------------------------------------


_SPELLED = str.maketrans({"_": "_u", "/": "_s", ".": "_d"})
"""A path as a module's name: without dots, which `import` reads, and no two paths alike. A digest did the same, and
touched 42 pages more in each child, 0.1 ms: OpenSSL had to be woken for it."""
_NAMES: dict[str, str] = {}
"""The modules' names by the paths they were asked for by: a child asks by the one that its keeper asked by."""


def load_module(path: str | Path) -> ModuleType:
    """Import a file under a name of its own, so that two files called alike, or like a package, do not clash.

    Without `pathlib`: each child does it, and every function called is two pages.
    """
    name = _NAMES.get(str(path))
    if name in sys.modules:
        return sys.modules[name]
    given, file = str(path), os.path.realpath(path)
    name = f"taskhand_flow{file.translate(_SPELLED)}"
    if os.path.isabs(given):
        _NAMES[given] = name
    if name in sys.modules:
        return sys.modules[name]
    if not os.path.isfile(file):
        raise AuthoringError(file, "there is no such file")
    if not file.endswith(".py"):
        raise AuthoringError(file, "a flow is in a Python file, whose name ends in .py")
    module, execute = _module(name, file)
    sys.modules[name] = module
    # As for a script: its neighbours can be imported.
    folder = os.path.dirname(file)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        execute(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, AuthoringError) or not isinstance(error, Exception):
            raise
        line = f"{file}:{error.lineno}" if isinstance(error, SyntaxError) else _place_in(Path(file), error) or file
        raise AuthoringError(line, f"{type(error).__name__}: {error}") from error
    return module


def _module(name: str, file: str) -> tuple[ModuleType, Callable[[ModuleType], None]]:
    """Make a file's module, and give what executes it. The loader is named, which spares a child looking for one."""
    loader = SourceFileLoader(name, file)
    spec = importlib.util.spec_from_file_location(name, file, loader=loader, submodule_search_locations=None)
    assert spec is not None  # noqa: S101 - a loader was given
    return importlib.util.module_from_spec(spec), loader.exec_module


def _place_in(path: Path, error: BaseException) -> str | None:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f"{path}:{lines[-1]}" if lines else None


def flows_of(module: ModuleType) -> dict[str, Flow]:
    """Give the flows of a file by their names."""
    return {value.name: value for value in vars(module).values() if isinstance(value, Flow)}


def load(target: str) -> Flow:
    """Find `FILE:FLOW`; the flow may be left out where a file has one only."""
    file, _, name = target.partition(":")
    found = flows_of(load_module(Path(file)))
    if name in found:
        return found[name]
    if not name and len(found) == 1:
        return next(iter(found.values()))
    had = f"it has {', '.join(sorted(found))}" if found else "it has none: decorate a function with @flow"
    asked = f"there is no flow {name!r}" if name else "say which flow, as FILE:FLOW"
    raise AuthoringError(file, f"{asked}; {had}")


def find_task(path: str | Path, flow: str, task_id: str) -> Callable[..., Any]:
    """Give the function of a task. Only where its name does not say which one it is is the flow drawn for it."""
    module = load_module(path)
    named = {value.name: value for value in vars(module).values() if isinstance(value, Task)}
    stem, _, number = task_id.rpartition("__")
    for name in (task_id, stem if number.isdecimal() else task_id):
        if name in named:
            return _with(named[name].function, named[name].own)
    flows = flows_of(module)
    if flow not in flows:
        raise AuthoringError(str(path), f"there is no flow {flow!r} any more, and no task {task_id!r}")
    node = flows[flow].draw().nodes.get(task_id)
    if node is None or node.function is None:
        raise AuthoringError(str(path), f"flow {flow!r} has no function for a task {task_id!r}")
    return _with(node.function, node.own)


def _with(function: Callable[..., Any], own: Mapping[str, Any]) -> Callable[..., Any]:
    """One process runs one task: what belongs to its task may be said on its function."""
    setattr(function, OPTIONS, own)
    return function


def takes_context(function: Callable[..., Any]) -> bool:
    """Say whether the runner has to pass `ctx`."""
    code = function.__code__
    return CONTEXT in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


__all__ = ["AuthoringError", "Flow", "Result", "Task", "find_task", "flow", "load", "shell", "takes_context", "task"]
