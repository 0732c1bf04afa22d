"""What a killed worker left: whoever came from it ends, and nobody else does."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.journal import Opened
from supervisor.keeper.fosterage import MARK
from supervisor.keeper.identity import start_time
from supervisor.leftovers import Swept, boot_id, sweep

pytestmark = pytest.mark.slow

DEAD = Opened(1, "w", 4_000_000, 17, boot_id(), "http://h", 1.0)
DEAF = "import signal, sys; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()"
MEEK = "import signal, sys; print('up', flush=True); signal.pause()"


@contextmanager
def process(code: str, mark: str = "") -> Iterator[subprocess.Popen[bytes]]:
    env = {**os.environ, **({MARK: mark} if mark else {})}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env) as started:
        assert started.stdout is not None
        started.stdout.readline()
        try:
            yield started
        finally:
            started.kill()


def swept(folder: Path, *children: tuple[int, int], opened: Opened = DEAD, grace_s: float = 5.0) -> Swept:
    return asyncio.run(sweep([opened], children, folder, grace_s))


MARKED = f"{DEAD.pid}.{DEAD.started}"


def test_who_came_from_it_is_stopped_and_who_would_not_is_killed(tmp_path: Path) -> None:
    with process(MEEK, MARKED) as meek, process(DEAF, MARKED) as deaf, process(MEEK, "4000000.18") as other:
        found = swept(tmp_path, grace_s=0.5)
        assert (found.waited_for, found.killed) == (2, 1)
        assert (meek.wait(), deaf.wait(), other.poll()) == (-15, -9, None)


def test_a_child_is_known_by_pid_and_start_too_and_one_with_its_pid_alone_is_not_it(tmp_path: Path) -> None:
    with process(MEEK) as child, process(MEEK) as other:
        found = swept(tmp_path, (child.pid, start_time(child.pid)), (other.pid, start_time(other.pid) + 1))
        assert (found.waited_for, found.killed) == (1, 0)
        assert (child.wait(), other.poll()) == (-15, None)


def test_after_a_reboot_nobody_is_meant(tmp_path: Path) -> None:
    before = Opened(1, "w", DEAD.pid, DEAD.started, "another boot", "http://h", 1.0)
    with process(MEEK, MARKED) as other:
        began = time.monotonic()
        assert swept(tmp_path, (other.pid, start_time(other.pid)), opened=before) == Swept()
        assert time.monotonic() - began < 5.0
        assert other.poll() is None


def test_folders_of_keepers_that_are_gone_are_removed_and_those_of_others_are_not(tmp_path: Path) -> None:
    with process(MEEK) as keeper:
        for name in (f"a.{keeper.pid}-1", "b.4000001-1", "c.4000001-2", "notes"):
            (tmp_path / name / "inner").mkdir(parents=True)
        assert swept(tmp_path).folders == 2
        assert sorted(folder.name for folder in tmp_path.iterdir()) == sorted([f"a.{keeper.pid}-1", "notes"])
