"""What wrote a checkpoint: the task's code, its inputs, and the schema its author gave the data.

A record that other code or other inputs wrote may be read without an error and be wrong all the same. So each record
carries a fingerprint, three words `part=digest`, and the server compares them.

*Code* is the source of the task's function and of the functions and classes of its own file that it refers to, directly
or by way of each other: what a change of the task is likely to touch. Comments, layout and decorators do not count, so
that reformatting a file or raising `retries` loses nobody's work; libraries do not, because a task would begin anew
after each upgrade. Who changes the meaning of the data by other ways says so by `checkpoint_schema`.

Computed when it is first needed: a task without checkpoints pays nothing.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from types import CodeType
from typing import Any

import msgspec

DIGITS = 16
KEPT = 16 * 1024
"""Bytes of inputs that are kept until somebody wants their digest: making one loads OpenSSL."""


def inputs_of(inputs: Mapping[str, Any]) -> Callable[[], str]:
    """Give what gives the digest of a task's inputs, as they are now."""
    data = _stable(inputs)
    if len(data) <= KEPT:
        return lambda: _digest(data)
    digest = _digest(data)
    return lambda: digest


def fingerprint(function: Callable[..., Any], inputs: str, schema: object = None) -> str:
    """Give the fingerprint of a task's attempt, from its function and the digest of its inputs."""
    words = [f"code={_digest(code_of(function).encode())}", f"inputs={inputs}"]
    if schema is not None:
        words.append(f"schema={_digest(_stable(schema))}")
    return " ".join(words)


def code_of(function: Callable[..., Any]) -> str:
    """Give the normal form of a function's source, and of what it refers to in its own module."""
    found: dict[str, str] = {}
    todo: list[tuple[str, Any]] = [("", _inner(function))]
    home, namespace = getattr(todo[0][1], "__module__", None), getattr(todo[0][1], "__globals__", {})
    for name, each in todo:
        if name not in found:
            found[name] = _source(each)
            for other in _names(each):
                neighbour = _inner(namespace.get(other))
                if getattr(neighbour, "__module__", None) == home and isinstance(neighbour, _Sourced):
                    todo.append((other, neighbour))
    return "\n".join(f"{name}: {text}" for name, text in sorted(found.items()))


_Sourced = (type, type(lambda: None))


def _inner(function: Any) -> Any:  # noqa: ANN401 - whatever a module has by a name
    """Give the author's own function: of a task, of a decorated one."""
    while inner := getattr(function, "__wrapped__", None):
        function = inner
    return function


def _names(each: Any) -> Iterator[str]:  # noqa: ANN401 - a function or a class
    inside = [each, *vars(each).values()] if isinstance(each, _Sourced) else []
    codes: list[CodeType] = [part.__code__ for part in inside if hasattr(part, "__code__")]
    for code in codes:
        yield from code.co_names
        codes.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))


def _source(each: Any) -> str:  # noqa: ANN401 - a function or a class
    import ast  # noqa: PLC0415 - only tasks with checkpoints pay for it

    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(each)))
    except (OSError, TypeError, SyntaxError):  # made by `exec`, a lambda in the middle of a call
        code = getattr(each, "__code__", None)
        return "" if code is None else f"{code.co_code.hex()} {code.co_names} {code.co_varnames}"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.decorator_list = []
    return ast.unparse(tree)


def _stable(value: object) -> bytes:
    return msgspec.json.encode(value, enc_hook=repr, order="sorted")


def _digest(data: bytes) -> str:
    import hashlib  # noqa: PLC0415 - brings OpenSSL, which would be mapped into every child

    return hashlib.sha256(data).hexdigest()[:DIGITS]
