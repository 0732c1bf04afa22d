"""No block of code in the documentation is only text: each is at least taken by the program that it is for.

What is more than that is beside the page's own test: test_guides.py runs what README and the guide to tasks show,
test_guide.py what the one to checkpoints does, and tests/vectors/test_wire_page.py the runtime of the wire's page.
"""

import ast
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from supervisor.cli import COMMANDS, main
from supervisor.settings import load
from tests.architecture.layout import ROOT
from tests.architecture.pages import GUIDES, Block, blocks
from tools.settings_table import BEGIN, END

SHOWN = {"", "mermaid", "text"}
"""Usage lines, pictures and what programs print."""


def calls(block: Block) -> list[list[str]]:
    """Give the calls of `worker` in a block of shell commands."""
    words = [shlex.split(line, comments=True) for line in block.text.splitlines() if line.startswith("worker ")]
    found: list[list[str]] = []
    for line in words:
        found.append([])
        for word in line:
            if word.endswith(";"):
                found[-1].append(word[:-1])
                found.append([])
            else:
                found[-1].append(word)
    return found


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_a_program_is_one(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_commands_exist_with_these_options(block: Block) -> None:
    subprocess.run(["/bin/sh", "-n"], input=block.text, text=True, check=True)
    for _, name, *arguments in calls(block):
        command = main.get_command(click.Context(main), name)
        assert command is not None, name
        command.make_parser(click.Context(command)).parse_args(arguments)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_settings_are_taken(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "taskhand.toml"
    file.write_text(block.text)
    load({}, str(file), environ={})


def test_every_block_is_of_a_kind_that_is_looked_at() -> None:
    opened = [
        line.removeprefix("```") for page in GUIDES for line in page.read_text().splitlines() if line[:3] == "```"
    ]
    assert {*opened} <= SHOWN | {"python", "sh", "toml"}


def test_every_command_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    assert [name for name in COMMANDS if f"\n## worker {name}\n" not in page] == []


def test_every_setting_says_what_it_is() -> None:
    _, _, rest = (ROOT / "docs" / "operating.md").read_text().partition(BEGIN)
    rows = [row.split("|")[1:-1] for row in rest.partition(END)[0].splitlines()[2:]]
    assert [name for name, _, said in rows if not said.strip()] == []


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    unit = (ROOT / "deploy" / "taskhand.service").read_text()
    assert "ExecStart=/opt/taskhand/bin/worker run" in unit
    if program is None:
        return  # nothing here knows units; where it does, it is asked
    file = tmp_path / "taskhand.service"
    file.write_text(unit.replace("/opt/taskhand/bin/worker", str(Path(sys.executable).with_name("worker"))))
    done = subprocess.run([program, "verify", "--man=no", str(file)], capture_output=True, text=True, check=False)
    newer = "Unknown key 'DelegateSubgroup' in section [Service], ignoring."  # what systemd before 254 says of it
    assert (done.returncode, [line for line in done.stderr.splitlines() if newer not in line]) == (0, [])
