"""What README and the guide to tasks show is done: a server and a worker stand ready, and take their flows."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.authoring import flows_of, load_module
from tests.architecture.layout import ROOT
from tests.architecture.pages import code
from tests.system.standing import Standing, standing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

README = code("README.md", "python")
[DECORATOR] = re.findall(r"`(@task\([^`]*)`", (ROOT / "README.md").read_text())
FOREIGN = f"""
from runner import flow, task
{DECORATOR}
def greet() -> None: ...
@flow
def foreign(): greet()
"""
TASKS = code("docs/writing-tasks.md", "python")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing(tmp_path_factory.mktemp("guides")) as found:
        yield found


def written(place: Standing, name: str, text: str) -> Path:
    file = place.folder / name
    file.write_text(text)
    return file


def test_the_flow_of_the_readme(place: Standing) -> None:
    written(place, "flow.py", README[0])
    assert place.run_of("flow.py:pipeline")["counts"] == {"success": 1}
    assert "\tcheckpoint\trecords 1 to 100\t" in place.worker("why", "pipeline/train").stdout
    assert len([line for line in README[0].partition("@task")[2].partition("@flow")[0].splitlines() if line]) <= 10


def test_the_foreign_runtime_of_the_readme(place: Standing) -> None:
    program = written(place, "greet.py", README[1])
    assert len([line for line in README[1].splitlines() if line]) <= 23
    written(place, "foreign.py", FOREIGN.replace("/where/greet.py", str(program)).replace("python3", sys.executable))
    assert place.run_of("foreign.py:foreign")["state"] == "success"
    assert "hello from greet" in place.log_of("foreign/greet")
    assert "\tcheckpoint\t" in place.worker("why", "foreign/greet").stdout


@pytest.mark.parametrize("number", range(len(TASKS)))
def test_the_flows_of_the_guide_to_tasks(place: Standing, number: int) -> None:
    file = written(place, f"page{number}.py", TASKS[number])
    flows = flows_of(load_module(file))
    assert flows
    states = {name: place.run_of(f"{file.name}:{name}")["state"] for name in flows}
    assert states == {name: "failed" if name == "fails" else "success" for name in flows}


def test_what_the_guide_says_of_mapped_tasks_and_of_ends(place: Standing) -> None:
    [mapped] = [text for text in TASKS if "def mapped" in text]
    run = place.run_of(f"{written(place, 'mapped.py', mapped).name}:mapped")
    assert run["counts"] == {"success": 5}
    [ends] = [text for text in TASKS if "def ends" in text]
    written(place, "ends.py", ends)
    run = place.run_of("ends.py:ends")
    assert run["counts"] == {"success": 2, "skipped": 1}
    why = [line.split("\t") for line in place.worker("why", "ends/shaky").stdout.splitlines()]
    assert [line[1] for line in why if line[0] in "123"] == ["up_for_retry", "up_for_retry", "success"]
    waits = place.worker("why", "ends/sensor").stdout
    assert (waits.count("\trun\t"), waits.count("\ttold_reschedule\tnot there yet\t")) == (3, 2), waits
    rows = [text for text in TASKS if "def tell" in text]
    written(place, "rows.py", rows[0])
    assert place.run_of("rows.py:rows", "--param", "reverse=false")["state"] == "success"
    assert "the rows are [1, 2, 3]" in place.log_of("rows/tell")
