"""How calls become a graph.

While a flow's function runs to be drawn, a call of a task runs nothing: it adds a node and returns a `Result`, a
stand-in for what the task will return. Stand-ins passed on as arguments are the arrows. At any other time a task is the
function it was made of, so that it can be called, tested and debugged like one.

Which flow is being drawn is a context variable: two flows drawn in two threads do not mix.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import msgspec

from protocol.flows import TaskSpec
from protocol.messages.startup import LiteralArgBinding, MappedArgBinding, TaskArgBinding, XComArgBinding

CONTEXT = "ctx"
"""The parameter that the runner fills: it is never an argument of a call in a flow."""

MAPPED = {"type": "array", "x-mapped": True}
"""The schema of an argument that is everything a mapped task returned, a list in the order of its items."""

_OURS = str(Path(__file__).parent)


class AuthoringError(Exception):
    """A flow that cannot be drawn: where, what is wrong, and what to do."""

    def __init__(self, place: str, wrong: str) -> None:
        super().__init__(f"{place}: {wrong}")
        self.place = place
        self.wrong = wrong


def place() -> str:
    """Give file and line of the author's code that called us."""
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way, without reading every source file on the stack
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class Node:
    """A task's place in a flow that is being drawn."""

    def __init__(self, spec: TaskSpec, function: Callable[..., Any] | None, own: Mapping[str, Any]) -> None:
        self.spec = spec
        self.function = function
        self.own = own
        """Options that only the runner needs."""
        self.upstreams = dict.fromkeys(spec.upstreams)

    def finished(self) -> TaskSpec:
        """Give the spec with the arrows that were drawn after the call."""
        return msgspec.structs.replace(self.spec, upstreams=list(self.upstreams))


class Result:
    """Stands for what a task will return. Pass it to other tasks, map over it, or say what comes after it."""

    def __init__(self, drawing: "Drawing", node: Node) -> None:
        self._drawing = drawing
        self._node = node

    @property
    def task_id(self) -> str:
        """The id of the task in its flow."""
        return self._node.spec.task_id

    @property
    def mapped(self) -> bool:
        """Whether it stands for a list with one value for each mapped instance."""
        return self._node.spec.map_over is not None

    def after(self, *others: "Result | Iterable[Result]") -> Self:
        """Begin only after these, without taking anything from them."""
        for other in _flat(others):
            self._drawing.owns(other)
            self._node.upstreams[other.task_id] = None
        return self

    def __rshift__(self, other: "Result | Iterable[Result]") -> "Result | Iterable[Result]":
        """`a >> b`: b comes after a. Gives b, so that arrows can be chained."""
        for each in _flat([other]):
            each.after(self)
        return other

    def __rrshift__(self, others: "Iterable[Result]") -> Self:
        """`[a, b] >> c`."""
        return self.after(*others)

    def __iter__(self) -> Iterator[Any]:
        """Refuse: what it stands for is not there yet."""
        raise AuthoringError(
            place(), f"the result of {self.task_id!r} is not there while the flow is drawn; .map() runs a task for each"
        )

    def __bool__(self) -> bool:
        """Refuse, as above: a flow cannot branch on it."""
        raise AuthoringError(
            place(), f"the result of {self.task_id!r} is not there while the flow is drawn; decide inside of a task"
        )

    def __repr__(self) -> str:
        return f"<the result of {self.task_id!r}>"


def _flat(others: "Iterable[Result | Iterable[Result]]") -> Iterator[Result]:
    for other in others:
        if isinstance(other, Result):
            yield other
        elif isinstance(other, list | tuple):
            yield from _flat(other)
        else:
            raise AuthoringError(place(), f"order is between results of tasks, and {other!r} is none")


class Drawing:
    """A flow while its function runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: dict[str, Node] = {}

    def add(
        self, spec: TaskSpec, function: Callable[..., Any] | None, own: Mapping[str, Any] = MappingProxyType({})
    ) -> Result:
        """Add a task under its name, or under `name__1` when that is taken."""
        taken, name = 0, spec.task_id
        while spec.task_id in self.nodes:
            taken += 1
            spec = msgspec.structs.replace(spec, task_id=f"{name}__{taken}")
        node = self.nodes[spec.task_id] = Node(spec, function, own)
        return Result(self, node)

    def owns(self, result: Result) -> None:
        """Refuse a result that was drawn in another flow."""
        if self.nodes.get(result.task_id) is not result._node:  # noqa: SLF001 - the two are one thing
            raise AuthoringError(place(), f"{result!r} belongs to another flow than {self.name!r}")

    def bind(self, name: str, value: object, *, each: bool = False) -> TaskArgBinding:
        """Make an argument: a result is bound to its task, anything else has to be JSON and is written down."""
        if isinstance(value, Result):
            self.owns(value)
            if each:
                return MappedArgBinding(name, value.task_id)
            return XComArgBinding(name, value.task_id, dict(MAPPED) if value.mapped else None)
        try:
            return LiteralArgBinding(name, value=msgspec.json.decode(msgspec.json.encode(value, enc_hook=_refuse)))
        except (TypeError, ValueError, OverflowError) as error:
            raise AuthoringError(
                place(), f"the argument {name!r} is written into the flow as JSON, and that cannot be: {error}"
            ) from None


def _refuse(value: object) -> None:
    if isinstance(value, Result):
        raise TypeError(f"{value!r} is inside of another value; pass it as an argument of its own")
    raise TypeError(f"{type(value).__name__} has no form in JSON; make it in a task instead")


_drawing: ContextVar[Drawing | None] = ContextVar("drawing", default=None)


def current() -> Drawing | None:
    """Give the flow that is being drawn, if one is."""
    return _drawing.get()


@contextmanager
def draw(name: str) -> Iterator[Drawing]:
    """Draw: calls of tasks are nodes until this ends."""
    if (outer := current()) is not None:
        raise AuthoringError(place(), f"flow {name!r} is called inside of flow {outer.name!r}: call its tasks instead")
    drawing = Drawing(name)
    token = _drawing.set(drawing)
    try:
        yield drawing
    finally:
        _drawing.reset(token)


def arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], *, partial: bool = False
) -> dict[str, Any]:
    """Give what a call passes, by the names of the function's parameters; `ctx` is not among them."""
    signature = inspect.signature(function)
    parameters = [parameter for name, parameter in signature.parameters.items() if name != CONTEXT]
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        raise AuthoringError(place(), f"{function.__name__}() takes *args; a task's arguments need names: take a list")
    reduced = signature.replace(parameters=parameters)
    try:
        bound = (reduced.bind_partial if partial else reduced.bind)(*args, **kwargs)
    except TypeError as error:
        hint = f" (`{CONTEXT}` is passed by the runner, never by a call)" if CONTEXT in kwargs else ""
        raise AuthoringError(place(), f"{function.__name__}{reduced}: {error}{hint}") from None
    given: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        given |= value if reduced.parameters[name].kind is inspect.Parameter.VAR_KEYWORD else {name: value}
    return given
