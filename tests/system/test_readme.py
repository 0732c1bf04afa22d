"""README's flow is run, so that it stays one."""

import re
from pathlib import Path

import pytest

from runner.authoring import find_task, load
from tests.architecture.layout import ROOT

(PROGRAM,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flow.py"
    path.write_text(PROGRAM)
    return path


def test_the_flow_is_drawn(file: Path) -> None:
    graph = load(f"{file}:pipeline").graph()
    assert {spec.task_id: list(spec.upstreams) for spec in graph.tasks} == {"extract": [], "train": ["extract"]}


def test_its_tasks_are_functions(file: Path) -> None:
    assert find_task(file, "pipeline", "extract")() == [1, 2, 3]
