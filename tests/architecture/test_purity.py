"""The core takes values and gives values. No socket, process, clock, environment, thread or loop.

An allow-list, because a list of what is forbidden is as long as the standard library and never complete. To allow a
module here, be able to say that it does nothing but compute.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.layout import PACKAGES, core_modules, file_of, files, mirror_of, name_of

PURE = {
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "contextlib", "copy", "dataclasses", "datetime",
    "decimal", "enum", "errno", "fractions", "functools", "hashlib", "heapq", "inspect", "itertools", "json", "keyword",
    "math", "msgspec", "operator", "re", "string", "struct", "textwrap", "types", "typing", "uuid", "zlib",
}  # fmt: skip

# Names which reach outside from within a module that is otherwise pure.
IMPURE_BUILTINS = {"__import__", "breakpoint", "compile", "eval", "exec", "input", "open", "print"}
IMPURE_ATTRIBUTES = {"getnode", "today", "utcnow", "uuid1", "uuid4"}
CLOCKS = {"date", "datetime"}

# Who may read the environment: settings, and the entry points which hand it to them.
ENVIRONMENT_READERS = {"settings", "__main__", "cli"}


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `from a import b` may name the module a.b; whichever it is, a.b begins with what is checked.
            yield from (f"{node.module}.{name.name}" for name in node.names)


def reaches(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_BUILTINS:
                yield f"{name}() in line {node.lineno}"
            case ast.Attribute(attr=name) if name in IMPURE_ATTRIBUTES:
                yield f".{name} in line {node.lineno}"
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr="now") if owner in CLOCKS:
                yield f"{owner}.now in line {node.lineno}"


def allowed(module: str, cores: list[str]) -> bool:
    """Core imports pure modules, `protocol`, and core: that is what keeps it core when something else changes."""
    if module.partition(".")[0] in PURE | {"protocol"}:
        return True
    return any(module == core or module.startswith(f"{core}.") for core in cores)


@pytest.mark.parametrize("module", core_modules())
def test_a_core_module_imports_only_what_computes(module: str) -> None:
    tree = ast.parse(file_of(module).read_text())
    cores = core_modules()
    assert [name for name in imports(tree) if not allowed(name, cores)] == []


def test_protocol_imports_nothing_of_the_packages_that_speak_it() -> None:
    found = {name.partition(".")[0] for file in files("protocol") for name in imports(ast.parse(file.read_text()))}
    assert found <= PURE | {"protocol"}


@pytest.mark.parametrize("file", sorted({*files("protocol"), *map(file_of, core_modules())}), ids=name_of)
def test_a_core_module_reads_no_clock_draws_no_chance_and_opens_nothing(file: Path) -> None:
    assert list(reaches(ast.parse(file.read_text()))) == []


@pytest.mark.parametrize(
    "source",
    ["open('x')", "datetime.now(UTC)", "datetime.datetime.now()", "uuid.uuid4()", "date.today()", "print(1)"],
)
def test_the_test_itself_sees_what_reaches_outside(source: str) -> None:
    assert list(reaches(ast.parse(source)))


@pytest.mark.parametrize("source", ["import os.path", "from os import environ", "from time import monotonic"])
def test_the_test_itself_sees_what_may_not_be_imported(source: str) -> None:
    assert not any(allowed(name, core_modules()) for name in imports(ast.parse(source)))


def test_only_standard_modules_and_msgspec_count_as_pure() -> None:
    assert PURE - sys.stdlib_module_names == {"msgspec"}


@pytest.mark.parametrize("module", core_modules())
def test_a_core_module_has_a_test_file_that_mirrors_it(module: str) -> None:
    assert mirror_of(module).is_file()


@pytest.mark.parametrize(
    "file", [file for file in files(*PACKAGES) if file.stem not in ENVIRONMENT_READERS], ids=name_of
)
def test_only_settings_and_entry_points_read_the_environment(file: Path) -> None:
    tree = ast.parse(file.read_text())
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} | {
        name.rpartition(".")[2] for name in imports(tree)
    }
    assert not names & {"environ", "environb", "getenv"}
