"""What a keeper has before its first child: what it was told to import, and nothing of whoever started it."""

import asyncio
import os
from pathlib import Path

import pytest

from supervisor.keeper.client import KeeperClient
from tests.supervisor.keeper.world import in_loop, keeper, python, settings


@in_loop
async def test_a_module_that_cannot_be_preloaded_is_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    client = KeeperClient(settings(tmp_path, preload=("json.tool", "no.such.module")), warnings.append)
    await client.start()
    child = await client.spawn(python("import sys; code = 'json.tool' in sys.modules"))
    assert (await child.wait()).code == 1
    child.close_channel_ends()
    await client.stop()
    assert warnings == ["no.such.module could not be preloaded: ModuleNotFoundError: No module named 'no'"]


@in_loop
async def test_a_flow_file_is_preloaded_as_the_runner_does_and_one_that_starts_threads_is_told(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("MARK = 1")
    bad.write_text("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()")
    warnings: list[str] = []
    client = KeeperClient(settings(tmp_path, preload=(str(good), str(bad))), warnings.append)
    await client.start()
    child = await client.spawn(python(f"import runner.authoring as a; code = {str(good)!r} in repr(a.sys.modules)"))
    assert (await child.wait()).code == 1
    child.close_channel_ends()
    await client.stop()
    assert warnings == [f"{bad} starts threads when it is imported, and children cannot have those: do not preload it"]


@in_loop
async def test_a_keeper_has_nothing_of_what_its_supervisor_was_given(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    client = KeeperClient(settings(tmp_path))
    await client.start()
    os.close(writing)
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(reading, over.set)
    await over.wait()  # the only other end would be the keeper's
    asyncio.get_running_loop().remove_reader(reading)
    await client.stop()
    os.close(reading)


@in_loop
async def test_a_keeper_starts_where_its_directory_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    here.rmdir()
    async with keeper(tmp_path) as client:
        child = await client.spawn(python("code = 3"))
        assert (await child.wait()).code == 3
        child.close_channel_ends()
