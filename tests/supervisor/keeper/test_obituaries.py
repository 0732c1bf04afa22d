"""What the kernel's log says of whom it killed, read as the kernel writes it."""

import os
from pathlib import Path

import pytest

from supervisor.keeper import obituaries
from supervisor.keeper.obituaries import Obituaries

OOM = "Killed process {} (python3) total-vm:211880kB, anon-rss:29056kB, UID:0 pgtables:116kB oom_score_adj:0\n"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(obituaries, "MACHINE", os.readlink("/proc/self/ns/pid"))
    file = tmp_path / "kmsg"
    file.write_text(f"3,1,1,-;Memory cgroup out of memory: {OOM.format(7)}")
    return file


def say(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


@pytest.mark.parametrize(
    "what", ["Memory cgroup out of memory", "Out of memory", "Out of memory (oom_kill_allocating_task)"]
)
def test_who_was_killed_is_known_once(log: Path, what: str) -> None:
    found = Obituaries(str(log))
    say(log, f"3,423,12154457520,-;{what}: {OOM.format(32384)}")
    assert [found.killed(pid) for pid in (3238, 32384, 32384)] == [False, True, False]
    found.close()


def test_what_was_said_before_or_of_an_older_process_of_this_number_does_not_count(log: Path) -> None:
    found = Obituaries(str(log))
    assert not found.killed(7)
    say(log, f"3,2,2,-;Out of memory: {OOM.format(8)}")
    found.born(8)
    assert not found.killed(8)
    say(log, "6,3,3,-;a line of somebody's: Out of memory: Killed process 8 (x) total\n")
    assert not found.killed(8)
    found.close()
    found.close()


def test_where_the_log_is_another_s_nobody_is_said_to_be_dead(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not Obituaries(str(tmp_path / "none")).killed(7)
    monkeypatch.setattr(obituaries, "MACHINE", "pid:[1]")
    found = Obituaries(str(log))
    say(log, f"3,423,1,-;Out of memory: {OOM.format(9)}")
    assert not found.killed(9)
