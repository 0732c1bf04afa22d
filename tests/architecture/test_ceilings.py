"""Sizes and names that keep a repository liveable. A file which reaches its ceiling has two jobs: split it by them."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.layout import PACKAGES, ROOT, files, name_of

FILE_LINES = 400
FUNCTION_LINES = 40

# A name that says nothing attracts everything.
NOTHING_NAMES = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}

CODE = files(*PACKAGES, "bench", "tools")
ALL = [*CODE, *files("tests")]

EXCEPTION = re.compile(r"#\s*(noqa|type:\s*ignore|pragma|fmt:\s*off)")
# mypy takes nothing after its own bracket but another comment.
REASONED = re.compile(
    r"#\s*((noqa: [A-Z0-9, ]+|pragma: no (cover|branch)|fmt: off) -|type: ignore\[[a-z0-9, -]+\]  #) \S"
)


@pytest.mark.parametrize("file", ALL, ids=name_of)
def test_a_file_stays_under_its_ceiling(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= FILE_LINES


@pytest.mark.parametrize("file", CODE, ids=name_of)
def test_a_function_stays_under_its_ceiling(file: Path) -> None:
    functions = [
        node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES} == {}


@pytest.mark.parametrize("file", ALL, ids=name_of)
def test_a_name_says_something(file: Path) -> None:
    assert not NOTHING_NAMES & set(file.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("file", ALL, ids=name_of)
def test_an_exception_from_a_rule_gives_its_reason(file: Path) -> None:
    lines = file.read_text().splitlines() if file != Path(__file__) else []
    assert [line for line in lines if EXCEPTION.search(line) and not REASONED.search(line)] == []
