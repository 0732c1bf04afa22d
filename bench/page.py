"""The report as a page: from the gathered rows to Markdown and SVG, nothing measured here."""

import ast
import contextlib
import json
import re
from pathlib import Path
from typing import Any

from bench.environments import ROOT
from bench.goals import ELSEWHERE, GOALS, Goal
from bench.plots import PLOTS
from bench.svg import number

PAGE = "benchmarks.md"
NAMES = (PAGE, *(f"benchmarks/{name}" for name in PLOTS))
"""The files, under `docs`."""
AT_REST = 0.5
DATA = ROOT / "docs" / "benchmarks.json"
Report = dict[str, Any]
"""`{"facts": {name: value}, "modules": {module: {"seconds", "load", "rows": [row]}}}`, the load that before the run."""

HEAD = """# Benchmarks

<!-- Made by `make bench`, which measures, and drawn by `bench.page` from benchmarks.json. Not edited by hand. -->

Ours beside the peers that one would pick instead, and beside the floor: what the machine itself asks for the same. All
of a row was measured in turns in one run, so that what the machine did meanwhile happened to everyone; a value is a
median, ± is the interquartile range of ours. Ratios hold better than absolute numbers. What each peer does for a job,
its version and its settings: [decision 0032](decisions/0032-how-peers-are-measured.md).
"""


def load(path: Path = DATA) -> Report:
    """Read what was gathered."""
    found: Report = json.loads(path.read_text())
    return found


def draw(name: str, report: Report | None = None) -> str:
    """Give a file of the report: of the one in `docs`, where no other is given."""
    report = report or load()
    if name == PAGE:
        return page(report)
    module, plot = PLOTS[Path(name).name]
    return plot({row["name"]: row for row in report["modules"][module]["rows"]})


def drawn(report: Report) -> dict[str, str]:
    """Give the files that can be drawn: of a part of the benchmarks, or of older rows, not every plot can."""
    found = {}
    for name in NAMES:
        with contextlib.suppress(KeyError):
            found[name] = draw(name, report)
    return found


def page(report: Report) -> str:
    """Write the page."""
    modules = report["modules"]
    facts = "".join(f"| {name} | {value} |\n" for name, value in report["facts"].items())
    parts = [HEAD, f"| machine and peers | |\n|---|---|\n{facts}", *busy(modules), goals(modules), plots(modules)]
    parts += [section(name, each["rows"]) for name, each in modules.items()]
    return "\n".join(parts)


def restless(modules: dict[str, Any]) -> dict[str, float]:
    """Name the modules that were measured beside other work, each with the load before it."""
    return {name: each["load"] for name, each in modules.items() if each["load"] > AT_REST}


def busy(modules: dict[str, Any]) -> list[str]:
    """Say where the machine had other work: goals are judged all the same, by numbers that are too high."""
    loads = restless(modules)
    if not loads:
        return []
    names = ", ".join(f"`{name}` ({load:g})" for name, load in loads.items())
    rest = "All others were measured at rest." if len(loads) < len(modules) else ""
    return [
        f"**Not all was measured at rest**: of {names}, load before the run, only ratios can be relied on. {rest}\n"
    ]


def goals(modules: dict[str, Any]) -> str:
    """Write the table of what is to be held."""
    lines = ["## Goals\n", "| what | measured | goal | | floor | beside | by |", "|---|---|---|---|---|---|---|"]
    lines += [goal_line(goal, found) for goal in GOALS if (found := row_of(goal, modules)) is not None]
    lines += [f"| {what} | | | | | | {where} |" for what, where in ELSEWHERE]
    loads, shown = restless(modules), [(goal, row_of(goal, modules)) for goal in GOALS]
    lines += ["", *(unmet(goal, row, loads) for goal, row in shown if row is not None and not goal.met(row))]
    return "\n".join(lines).rstrip() + "\n"


def unmet(goal: Goal, row: dict[str, Any], loads: dict[str, float]) -> str:
    """Say of a goal that is not met what was measured, and what stands in the way."""
    beside_work = f" (beside other work, load {loads[goal.module]:g})" if goal.module in loads else ""
    said = f"- Not met: {goal.what}, {value(row['ours'], row['unit'])} instead of {goal.text}{beside_work}."
    return f"{said} {goal.otherwise or 'Why is not known.'}"


def row_of(goal: Goal, modules: dict[str, Any]) -> dict[str, Any] | None:
    """Find the row that a goal is about."""
    rows = modules.get(goal.module, {"rows": []})["rows"]
    return next((row for row in rows if row["name"] == goal.row), None)


def goal_line(goal: Goal, row: dict[str, Any]) -> str:
    """Write one."""
    verdict = "met" if goal.met(row) else "**not met**"
    mine = value(row["ours"], row["unit"])
    return f"| {goal.what} | {mine} | {goal.text} | {verdict} | {floor(row)} | {beside(row)} | `{goal.module}` |"


def value(amount: float, unit: str) -> str:
    """Write a number with its unit."""
    return f"{number(amount)} {unit}"


def floor(row: dict[str, Any]) -> str:
    """Write a row's floor, where it has one."""
    return "" if row["floor"] is None else value(row["floor"], row["unit"])


def beside(row: dict[str, Any]) -> str:
    """Write what the peers took, in the row's unit."""
    return "; ".join(f"{name}: {number(amount)}" for name, amount in row["peers"].items())


def plots(modules: dict[str, Any]) -> str:
    """Show the plots."""
    shown = [f"![{name.removesuffix('.svg')}](benchmarks/{name})\n" for name, (of, _) in PLOTS.items() if of in modules]
    return "\n".join(["## Side by side\n", *shown])


def section(module: str, rows: list[dict[str, Any]]) -> str:
    """Write one module's rows, under what its docstring says first."""
    tree = ast.parse((ROOT / "bench" / f"{module}.py").read_text())
    first = (ast.get_docstring(tree) or "").partition("\n\n")[0].replace("\n", " ")
    first = re.split(r"[:.] `python", first)[0]
    lines = [
        f"## {module}\n",
        f"{first.rstrip('.')}.\n",
        "| what | ours | ± | runs | floor | peers |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        mine = value(row["ours"], row["unit"])
        spread = number(row["spread"])
        lines.append(f"| {row['name']} | {mine} | {spread} | {row['runs']} | {floor(row)} | {beside(row)} |")
    return "\n".join(lines) + "\n"
