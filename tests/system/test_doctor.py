"""`worker doctor` on set-ups that are broken, each in one way: it names what is wrong, and what to do about it.

Those of the installation itself (an extra that is absent, another distribution's `supervisor` or `protocol`) are in
tests/supervisor/commands/test_doctor.py.
"""

import asyncio
import contextlib
import os
import resource
import socket
import sqlite3
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.minimal_api import Answer, Call, MinimalApi
from supervisor.journal import Opened, frame
from supervisor.journal_files import segment_name
from tests.architecture.layout import ROOT
from tests.system.world import ENTRY, on, play

pytestmark = pytest.mark.slow

Found = dict[str, tuple[str, str]]
"""By subject: level and message."""


Before = Callable[[], None] | None
SHOWN = "TASKHAND_WORKER_TOKEN"


async def doctor(home: Path, *arguments: str, before: Before = None, environ: Mapping[str, str]) -> Found:
    own = {name: value for name, value in os.environ.items() if not name.startswith("TASKHAND_")}
    env = own | {"PYTHONPATH": str(ROOT), "TASKHAND_HOME": str(home), "TASKHAND_KEEPER_ENTRY": ENTRY} | {**environ}
    command = [sys.executable, "-m", "supervisor", "doctor", "--json", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, env=env, preexec_fn=before, cwd=home.parent)
    out, _ = await process.communicate()
    found = {each["subject"]: (each["level"], each["message"]) for each in msgspec.json.decode(out)["findings"]}
    assert process.returncode == int(any(level == "problem" for level, _ in found.values()))
    return found


def examined(home: Path, *arguments: str, before: Before = None, **environ: str) -> Found:
    return play(doctor(home, *arguments, before=before, environ=environ))


def answered(home: Path, *faults: Callable[[Call], Answer | None], environ: Mapping[str, str] | None = None) -> Found:
    """Examine a set-up whose server answers so."""

    async def scenario() -> Found:
        api = MinimalApi()
        url = await api.start()
        api.faults += faults
        found = await doctor(home, "--api", url, environ=environ or {})
        await api.stop()
        return found

    return play(scenario())


def problem(found: Found, subject: str, *words: str) -> None:
    """It is a problem, the only one, and it is said so."""
    assert [name for name, (level, _) in found.items() if level == "problem"] == [subject], found
    for word in words:
        assert word in found[subject][1]


def test_a_state_directory_that_cannot_be_written() -> None:
    # Not even root can make anything in /sys.
    problem(
        examined(Path("/sys/taskhand")), "state directory", "/sys/taskhand: nothing can be written", "TASKHAND_HOME"
    )


def test_a_state_directory_that_others_can_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    problem(examined(home), "state directory", f"chmod 700 {home}")


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[None]:
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["/bin/umount", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting is root's")
def test_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with small_disk(home):
        problem(examined(home), "disk", "1 MiB left", "make room")


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and listens to nobody
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/execution"
        problem(examined(tmp_path / "home", "--api", url), "execution API", url, "`worker server`", "`api.url`")


def test_an_address_at_which_something_else_answers(tmp_path: Path) -> None:
    page = Answer(404, raw=b"<html>It works!</html>", kind="text/html")
    found = answered(tmp_path / "home", lambda _: page)
    problem(found, "execution API", "404", "is this its address")


def test_a_token_that_is_refused(tmp_path: Path) -> None:
    refused = on("claim", Answer(403, {"detail": "Invalid auth token"}))
    found = answered(tmp_path / "home", refused, environ={SHOWN: "bad"})
    problem(found, "worker token", "403 Invalid auth token", "`worker-token`")


@pytest.mark.parametrize("off", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_clock_that_is_off(tmp_path: Path, off: timedelta) -> None:
    date = format_datetime(datetime.now(UTC) + off, usegmt=True)
    ahead = on("health", Answer(200, {"status": "healthy"}, headers=(("Date", date),)))
    found = answered(tmp_path / "home", ahead)
    problem(found, "clock", "s against the server's", "set both")


def test_a_database_of_a_newer_version(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(home / "taskhand.db")) as connection:
        connection.execute("CREATE TABLE schema_versions (number INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO schema_versions VALUES (99)")
        connection.commit()
    problem(examined(home), "database", "has schema 99", "install the newer one")


def test_a_database_that_is_none(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "taskhand.db").write_bytes(b"this is no database, and long enough to be looked at" * 100)
    problem(examined(home), "database", "file is not a database", "restore it")


def test_a_journal_that_is_damaged(tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = home / "journal"
    folder.mkdir(mode=0o700, parents=True)
    home.chmod(0o700)
    (folder / segment_name(1)).write_bytes(damaged())
    problem(examined(home), "journal", "damaged records", "start a worker", "look at the disk")


def damaged() -> bytes:
    """Give a segment of whole records, one of which has a bit flipped."""
    data = b""
    for _ in range(3):
        data += frame(Opened(1, "w", 10, 20, "boot", "http://h", 1.0), 1, len(data))
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def test_few_open_files(tmp_path: Path) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))

    problem(examined(tmp_path / "home", before=few), "open files", "200 open files for 8 slots", "raise ulimit -n")


def test_a_keeper_that_cannot_start(tmp_path: Path) -> None:
    found = examined(tmp_path / "home", TASKHAND_KEEPER_ENTRY="no_such_module:main")
    problem(found, "keeper", "No module named 'no_such_module'", "`keeper.entry`")


def test_something_to_be_preloaded_that_cannot_be_imported(tmp_path: Path) -> None:
    found = examined(tmp_path / "home", TASKHAND_KEEPER_PRELOAD="no_such_library")
    problem(found, "preload", "no_such_library could not be preloaded", "take it out of `keeper.preload`")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[worker]\nslot = 3\n", "did you mean slots?"),
        ("[worker\n", "taskhand.toml: "),
        ('[children]\nuser = "no such user"\n', "there is no user called"),
    ],
)
def test_settings_that_cannot_be_taken(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "taskhand.toml").write_text(text)
    problem(examined(tmp_path / "home"), "settings", words)


def test_of_a_healthy_set_up_it_says_that_all_is_well(tmp_path: Path) -> None:
    found: Any = answered(tmp_path / "home", environ={SHOWN: "good"})
    assert "problem" not in {level for level, _ in found.values()}
    assert {
        subject: found[subject][0] for subject in ("keeper", "state directory", "execution API", "worker token")
    } == {
        "keeper": "ok",
        "state directory": "ok",
        "execution API": "ok",
        "worker token": "ok",
    }  # fmt: skip - two lines of facts
