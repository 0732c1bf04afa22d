"""The published report is of these benchmarks: each is in it, with the rows that its module prints; every goal has one.

That page and plots are what the gathered numbers say is held with all that is drawn (`test_generated`).
"""

import ast
import re

import pytest

from bench.goals import ELSEWHERE, GOALS, Goal
from bench.page import draw, drawn, load
from bench.report import MODULES
from tests.architecture.layout import ROOT

REPORT = load()
PUBLISHED = {module: [row["name"] for row in each["rows"]] for module, each in REPORT["modules"].items()}


def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / "bench" / f"{module}.py").read_text())


def spelling(node: ast.expr) -> str | None:
    """What a string in the code may come to, as a pattern; nothing where it says too little of itself."""
    match node:
        case ast.Constant(value=str(text)):
            return re.escape(text)
        case ast.JoinedStr(values=parts):
            texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
            if sum(len(str(text)) for text in texts if text is not None) >= 8:
                return "".join(".*" if text is None else re.escape(str(text)) for text in texts)
    return None


def row_names(module: str) -> list[str]:
    """The names given to `Row` where it is made."""
    calls = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Call) and node.args]
    made = [node.args[0] for node in calls if isinstance(node.func, ast.Name) and node.func.id == "Row"]
    return [found for name in made if (found := spelling(name)) is not None]


def test_every_benchmark_is_in_the_report() -> None:
    benchmarks = {file.stem for file in (ROOT / "bench").glob("*.py") if "emit(" in file.read_text()}
    assert set(MODULES) == benchmarks - {"harness"}, "MODULES in bench/report.py names them all"
    missing = sorted(set(MODULES) - set(PUBLISHED))
    assert not missing, f"measure them: python -m bench.report --only {' '.join(missing)}"


@pytest.mark.parametrize("module", MODULES)
def test_the_published_rows_are_those_the_module_prints(module: str) -> None:
    strings = [node for node in ast.walk(tree(module)) if isinstance(node, ast.expr)]
    known = [found for node in strings if (found := spelling(node)) is not None]
    again = f"measure it again: python -m bench.report --only {module}"
    for name in PUBLISHED[module]:
        assert any(re.fullmatch(each, name) for each in known), f"{name!r} is not printed any more; {again}"
    for each in row_names(module):
        assert any(re.fullmatch(each, name) for name in PUBLISHED[module]), f"{each!r} is not published; {again}"


def test_a_row_has_one_name_in_the_whole_report() -> None:
    every = [name for names in PUBLISHED.values() for name in names]
    assert sorted(every) == sorted(set(every))


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.what)
def test_every_goal_has_its_row(goal: Goal) -> None:
    assert goal.row in PUBLISHED[goal.module]


def test_what_is_held_elsewhere_is_listed_with_the_place() -> None:
    page = draw("benchmarks.md")
    for what, where in ELSEWHERE:
        assert f"| {what} | | | | | | {where} |" in page


def test_a_report_of_a_part_is_drawn_of_that_part() -> None:
    codec = {"facts": {"cores": "2"}, "modules": {"codec": {**REPORT["modules"]["codec"], "load": 0.2}}}
    found = drawn(codec)
    assert list(found) == ["benchmarks.md"]
    page = found["benchmarks.md"]
    assert "codec, 200-byte message, out" in page
    assert "drain" not in page
    assert "at rest" not in page


def test_what_is_not_met_is_said_with_its_reason() -> None:
    slow = {"name": "slot free after exit", "unit": "ms", "ours": 19.0, "peers": {"other": 5000.0}, "floor": 1.0}
    report = {"facts": {}, "modules": {"attempt": {"load": 3.0, "rows": [{**slow, "runs": 1, "spread": 0.0}]}}}
    page = draw("benchmarks.md", report)
    what = "slot held after a trivial task has ended"
    assert f"| {what} | 19 ms | ≤ 10 ms | **not met** | 1 ms | other: 5,000 | `attempt` |" in page
    assert f"- Not met: {what}, 19 ms instead of ≤ 10 ms (beside other work, load 3). Why is not known." in page
    assert "Not all was measured at rest**: of `attempt` (3)" in page


def test_the_rest_of_a_report_is_not_taken_for_disturbed() -> None:
    modules = {"codec": {**REPORT["modules"]["codec"], "load": 0.2}, "logs": {**REPORT["modules"]["logs"], "load": 7.0}}
    page = draw("benchmarks.md", {"facts": {}, "modules": modules})
    assert "of `logs` (7), load before the run, only ratios can be relied on. All others were measured at rest." in page


def test_every_goal_that_is_not_met_has_its_reason() -> None:
    assert [line for line in draw("benchmarks.md").splitlines() if "Why is not known" in line] == []
