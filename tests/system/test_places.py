"""A state directory that cannot be one: `worker exec` and `worker run` say what is wrong with it, and what to do."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bench.minimal_api import MinimalApi
from supervisor.folders import clear, make
from tests.architecture.layout import ROOT
from tests.system.disks import fill, mounts, small_disk
from tests.system.test_commands import PLAIN, TOKEN, output, workload
from tests.system.world import play, stage

pytestmark = pytest.mark.slow

AWAY = "move the file away that stands where a directory has to be"


def file_at(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("")


async def tried(home: Path, folder: Path) -> list[tuple[int, str]]:
    """Have both begin there: their codes, and what they said."""
    api = MinimalApi()
    url = await api.start()
    text = msgspec.json.encode(workload(api, command=["true"], **PLAIN)).decode()
    found = []
    for arguments in (("exec", "--json", "--json-string", text), ("run", "--source", "stdin")):
        command = [sys.executable, "-m", "supervisor", *arguments, "--api", url, "--state-dir", str(home)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), **TOKEN}
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=env, cwd=folder
        )
        code, out, err = await output(process, b"")
        if arguments[0] == "exec":
            assert json.loads(out)["error"] in err
        found.append((code, err))
    await api.stop()
    return found


@pytest.mark.parametrize("name", ["", "tmp", "workers"])
def test_a_file_where_a_directory_has_to_be_is_named(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    file_at(home / name)
    for code, err in play(tried(home, tmp_path)):
        assert code == 2
        assert str(home / name) in err
        assert AWAY in err
        assert "Errno" not in err
        assert "Traceback" not in err


def long_name(home: Path) -> Path:
    return home / ("x" * 300)


def nowhere(_: Path) -> Path:
    return Path("/proc/taskhand")


@pytest.mark.parametrize(("where", "words"), [(long_name, "a shorter name"), (nowhere, "see that this user can make")])
def test_a_place_that_cannot_be_made_is_named(tmp_path: Path, where: Callable[[Path], Path], words: str) -> None:
    for code, err in play(tried(where(tmp_path), tmp_path)):
        assert code == 2
        assert words in err
        assert "Traceback" not in err


@mounts
def test_a_full_disk_is_called_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "home", "64k") as home:
        fill(home)
        found = play(tried(home, tmp_path))
        assert [code for code, _ in found] == [2, 1]  # the unit in deploy/ starts a worker again that ends with 1
        for _, err in found:
            assert "No space left on device; make room on that disk" in err
            assert "Traceback" not in err


def test_a_program_whose_checkpoint_directory_cannot_be_made_fails_in_words(tmp_path: Path) -> None:
    async def scenario() -> tuple[str | None, str]:
        async with stage(tmp_path) as found:
            file_at(tmp_path / "checkpoints")
            record = await found.run("t", "plain", command=["true"])
            return record.kind, record.why

    kind, why = play(scenario())
    assert kind == "boot"
    assert AWAY in why
    assert "Errno" not in why


def test_programs_leave_no_empty_folders_and_take_none_from_each_other(tmp_path: Path) -> None:
    """Twenty at a time in one run: each that ends clears what is above its own, while others begin there."""

    async def scenario() -> list[str]:
        async with stage(tmp_path) as found:
            command = ["sh", "-c", 'touch "$TASKHAND_CHECKPOINT_DIR/x.part"']
            records = await asyncio.gather(*(found.run(f"t{n}", "plain", command=command) for n in range(20)))
            return [str(record.outcome) for record in records]

    assert set(play(scenario())) == {"success"}
    assert not (tmp_path / "checkpoints" / "d").exists()


def test_a_directory_is_made_while_those_above_it_are_removed(tmp_path: Path) -> None:
    async def scenario() -> None:
        def at_it(name: str) -> None:
            place = tmp_path / "flow" / "run" / name / "-1"
            for _ in range(1000):
                make(place / "attempt")
                (place / "attempt" / "file").write_text("")
                (place / "attempt" / "file").unlink()
                (place / "attempt").rmdir()
                clear(place, 4)

        await asyncio.gather(*(asyncio.to_thread(at_it, name) for name in "abcd"))

    play(scenario())
    assert not list(tmp_path.iterdir())
