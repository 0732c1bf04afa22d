"""What docs/checkpoints.md says, done: its code is run, stopped and resumed."""

import re
from pathlib import Path

import msgspec
import pytest

from supervisor.sections import CheckpointSettings
from tests.architecture.layout import ROOT
from tests.system.checkpoints.worlds import World, world

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs" / "checkpoints.md").read_text()


def code(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    return found[1]


def stopped_once(place: World, task: str) -> None:
    machine = place.machine()
    while not any(event["what"] == "checkpoint" for event in place.story(task)):
        place.work.read(0.02)
    assert machine.stop() == 0
    place.machine()
    assert place.end() == "success"
    whats = [event["what"] for event in place.story(task)]
    assert (whats.count("told_checkpointed"), whats.count("told_success")) == (1, 1)
    assert "resumes_from" in whats


def test_the_python_task(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        file = tmp_path / "training.py"
        file.write_text(code("python"))
        place.submit({"task_id": "train"}, file=file)
        stopped_once(place, "train")


def test_the_plain_program(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        place.submit({"task_id": "t", "runtime": "plain", "command": ["sh", "-euc", code("sh")]})
        stopped_once(place, "t")


def test_every_setting_is_named() -> None:
    for each in msgspec.structs.fields(CheckpointSettings):
        assert f"`checkpoints.{each.name}`" in GUIDE
