"""What `worker completion` prints, in the shells it is for, as a person at a terminal has it."""

import os
import pty
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.layout import ROOT

pytestmark = pytest.mark.interop

WITHIN_S = 30.0
TYPED = [("worker do", "worker doctor"), ("worker doctor --js", "worker doctor --json")]
"""What is typed before the tabulator, and what stands there after it."""

INTERACTIVE = {
    "bash": (["--norc", "--noprofile", "-i"], 'eval "$(worker completion bash)"'),
    "zsh": (["-f", "-i"], 'autoload -U compinit && compinit -u -D && eval "$(worker completion zsh)"'),
}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    program = tmp_path / "worker"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m supervisor "$@"\n')
    program.chmod(0o755)
    own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "TERM": "dumb"}
    return {**os.environ, **own}


def shell(name: str) -> str:
    """Find it. One that is missing is a failure: this run is there to try it."""
    found = shutil.which(name)
    assert found is not None, f"there is no {name} here to complete in: install the package {name} (on Debian: apt)"
    return found


class Terminal:
    """A shell at a terminal, and somebody who types."""

    def __init__(self, command: list[str], environ: dict[str, str]) -> None:
        self.seen = ""
        self._mine, theirs = pty.openpty()
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
        )
        os.close(theirs)

    def types(self, text: str, shown: str) -> None:
        """Type, and wait until this is shown."""
        self.seen = ""
        os.write(self._mine, text.encode())
        while shown not in self.seen:
            assert select.select([self._mine], [], [], WITHIN_S)[0], f"{shown!r} does not come: {self.seen!r}"
            self.seen += os.read(self._mine, 4096).decode(errors="replace")

    def end(self) -> None:
        """Hang up."""
        self._process.kill()
        self._process.wait()
        os.close(self._mine)


@pytest.mark.parametrize(("typed", "completed"), TYPED)
@pytest.mark.parametrize("name", INTERACTIVE)
def test_a_tabulator_completes(environ: dict[str, str], name: str, typed: str, completed: str) -> None:
    options, begin = INTERACTIVE[name]
    terminal = Terminal([shell(name), *options], environ)
    try:
        terminal.types(f"{begin}; echo re''ady\n", "ready")
        terminal.types(f"{typed}\t", completed)
    finally:
        terminal.end()


@pytest.mark.parametrize(("typed", "completed"), TYPED)
def test_fish_completes_with_what_is_printed_for_it(environ: dict[str, str], typed: str, completed: str) -> None:
    """Fish gives what it would show by itself; and it reads the script from where the help says to put it."""
    place = Path(environ["HOME"], ".config", "fish", "completions", "worker.fish")
    place.parent.mkdir(parents=True)
    script = f"worker completion fish > {place}; complete -C '{typed}'"
    done = subprocess.run(
        [shell("fish"), "-c", script], env=environ, capture_output=True, text=True, check=False, timeout=WITHIN_S
    )
    assert completed.rpartition(" ")[2] in [line.partition("\t")[0] for line in done.stdout.splitlines()], done.stderr
