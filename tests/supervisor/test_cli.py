"""The command as people meet it: a real process, its output and its exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.cli import COMMANDS
from supervisor.extras import EXTRAS
from tests.architecture.layout import ROOT, pyproject

pytestmark = pytest.mark.slow

# Puts one more command into the table, whose module is a file of the test's, and calls it.
WITH_COMMAND = """
import sys
from supervisor.cli import COMMANDS, Command, main
sys.path.insert(0, sys.argv.pop(1))
COMMANDS["extra"] = Command("extra_command:command", "server", "A command of the test's.")
main(prog_name="worker")
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def worker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "supervisor", *arguments)


def with_command(folder: Path, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "extra_command.py").write_text(source)
    return run("-c", WITH_COMMAND, str(folder), *arguments)


def test_help_lists_every_command_with_its_line() -> None:
    done = worker("--help")
    assert done.returncode == 0
    for name, entry in COMMANDS.items():
        [line] = [line for line in done.stdout.splitlines() if line.startswith(f"  {name} ")]
        assert entry.help.split()[0] in line


def test_help_imports_no_command_and_nothing_heavy() -> None:
    done = run("-X", "importtime", "-m", "supervisor", "--help")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    heavy = {"asyncio", "httpx", "litestar", "rich", "structlog", "psutil", "protocol", "runner", "server"}
    assert not imported & heavy
    assert not {name for name in imported if name.startswith("supervisor.commands")}


def test_version_is_that_of_the_project() -> None:
    assert worker("--version").stdout == f"taskhand {pyproject()['project']['version']}\n"


@pytest.mark.parametrize(
    ("word", "said"), [("no-such-command", "`worker --help` lists them"), ("sumbit", "did you mean `worker submit`?")]
)
def test_an_unknown_command_is_refused_with_what_was_meant(word: str, said: str) -> None:
    done = worker(word)
    assert done.returncode == 2
    assert word in done.stderr
    assert said in done.stderr


def test_completing_a_command_imports_none() -> None:
    asked = os.environ | {"_WORKER_COMPLETE": "bash_complete", "COMP_WORDS": "worker s", "COMP_CWORD": "1"}
    code = "import sys; from supervisor.cli import main; main(prog_name='worker')"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code],
        cwd=ROOT,
        env=asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["plain,server", "plain,submit", "plain,schema"]
    assert "supervisor.commands" not in done.stderr
    assert "server.commands" not in done.stderr


def test_bash_completes_with_what_is_printed_for_it(tmp_path: Path) -> None:
    program = tmp_path / "worker"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m supervisor "$@"\n')
    program.chmod(0o755)
    script = """
        source <(worker completion bash)
        COMP_WORDS=(worker do) COMP_CWORD=1
        _worker_completion worker
        echo "${COMPREPLY[@]}"
    """
    asked = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["/bin/bash", "-c", script], env=asked, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["doctor"], done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    done = worker("completion", shell)
    assert f"{shell}_complete" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_in_the_table_can_be_loaded_and_explains_itself(name: str) -> None:
    done = worker(name, "--help")
    assert done.returncode == 0, done.stderr
    assert COMMANDS[name].extra in {None, *EXTRAS}


def test_a_command_is_found_by_name_and_run(tmp_path: Path) -> None:
    source = "import click\n@click.command()\ndef command(): click.echo('ran')\n"
    assert with_command(tmp_path, source, "extra").stdout == "ran\n"


def test_a_missing_extra_says_what_to_install(tmp_path: Path) -> None:
    done = with_command(tmp_path, "import a_library_nobody_has.part", "extra")
    assert done.returncode == 2
    assert "needs a_library_nobody_has" in done.stderr
    assert "pip install 'taskhand[server]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_of_ours_that_is_missing_is_a_bug_and_not_a_missing_extra(tmp_path: Path) -> None:
    done = with_command(tmp_path, "import server.no_such_module", "extra")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr
