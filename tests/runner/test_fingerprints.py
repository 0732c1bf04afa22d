import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.authoring import find_task
from runner.fingerprints import KEPT, code_of, fingerprint, inputs_of

HEAD = "import json\nfrom runner import flow, task\n"
FILE = """
LIMIT = 3
class Model:
    def fit(self): return helper2(1)
def helper2(x): return x + 1
def helper(x):
    return [y for y in Model().fit() if json.dumps(y)]
@task(retries=1)
def train(ctx):
    return helper(1)
def other(): pass
@flow
def f(): train()
"""


def code(folder: Path, text: str) -> str:
    number = len(list(folder.iterdir()))
    file = folder / f"f{number}.py"
    file.write_text(HEAD + text)
    return code_of(find_task(file, "f", "train"))


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("retries=1", "retries=7", False),
        ("    return helper(1)", "    # a comment\n\n    return helper( 1 )", False),
        ("def other(): pass", "def other(): return 5", False),
        ("return helper(1)", "return helper(2)", True),
        ("return x + 1", "return x + 2", True),
        ("def fit(self)", "def fit(self, more=1)", True),
    ],
)
def test_code_is_what_the_task_refers_to_in_its_file(tmp_path: Path, old: str, new: str, differs: bool) -> None:  # noqa: FBT001 - a parameter
    assert (code(tmp_path, FILE) != code(tmp_path, FILE.replace(old, new))) is differs


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def outer() -> Any:
        return function()

    return outer


def test_a_decorated_function_is_the_function(tmp_path: Path) -> None:
    def inner() -> int:
        return len(tmp_path.parts)

    assert code_of(decorated(inner)) == code_of(inner)


def test_code_without_a_source_has_one_too() -> None:
    space: dict[str, Any] = {}
    exec("def one(): return 1\ndef two(): return print(2)", space)  # noqa: S102 - the point
    assert code_of(space["one"]) != code_of(space["two"])
    assert code_of(print) == ": "


def test_inputs_are_told_apart_whatever_their_order() -> None:
    assert inputs_of({"a": 1, "b": [object]})() == inputs_of({"b": [object], "a": 1})()
    assert inputs_of({"a": 1})() != inputs_of({"a": 2})()


@pytest.mark.parametrize("length", [0, KEPT])
def test_inputs_are_what_they_were_when_the_task_began(length: int) -> None:
    inputs = {"a": ["x" * length]}
    before, digest = inputs_of({"a": ["x" * length]})(), inputs_of(inputs)
    inputs["a"].append("of the task's own")
    assert digest() == before


def test_a_fingerprint_has_its_parts() -> None:
    words = dict(word.split("=") for word in fingerprint(code, inputs_of({})(), {"v": 2}).split())
    assert set(words) == {"code", "inputs", "schema"}
    assert "schema" not in fingerprint(code, inputs_of({})())
