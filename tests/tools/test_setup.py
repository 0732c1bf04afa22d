"""How setting up finds its Python. What it installs is proved by every run of `make test` on a new machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.layout import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What setting up reads, in a folder without `.venv`."""
    (tmp_path / "tools").mkdir()
    for name in ("pyproject.toml", "uv.lock", "tools/setup.sh"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def set_up(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(clone / "tools" / "setup.sh")]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def test_a_python_that_was_asked_for_and_does_not_run_is_refused_and_nothing_is_made(clone: Path) -> None:
    done = set_up(clone, PYTHON="/bin/false")
    assert done.returncode != 0
    assert "PYTHON=/bin/false does not run" in done.stderr
    assert not (clone / ".venv").exists()


def test_a_python_on_the_path_that_does_not_run_is_passed_over(clone: Path) -> None:
    shims = clone / "shims"
    program(shims, "python3", "echo 'pyenv: python3: command not found' >&2; exit 127")
    program(shims, "python3.14", "exit 127")
    # The one that runs can do all that is asked of it but make an environment, and says that it was asked.
    found = program(
        shims, "python3.13", f'case "$*" in "-m venv"*) echo chosen; exit 3;; esac; exec {sys.executable} "$@"'
    )
    done = set_up(clone, PYTHON="", PATH=f"{shims}:{os.environ['PATH']}")
    assert found.exists()
    assert "chosen" in done.stdout
    assert done.returncode == 3


def test_a_half_made_environment_is_made_anew(clone: Path) -> None:
    broken = clone / ".venv" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.symlink_to("/nowhere/python")
    python = program(clone / "own", "python", f'[ "$1 $2" = "-m venv" ] && exit 3; exec {sys.executable} "$@"')
    done = set_up(clone, PYTHON=str(python))
    assert done.returncode == 3
    assert not broken.is_symlink()
