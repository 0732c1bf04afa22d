"""What tasks leave in their directories, and what dead keepers leave of theirs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.keeper.leftovers import remove, sweep
from tests.supervisor.keeper.world import in_loop, keeper, python, until

ACTS = {
    "a link in its place": "import os; d = os.environ['TMPDIR']; os.chdir('/'); os.rmdir(d); os.symlink({away!r}, d)",
    "a file in its place": "import os; d = os.environ['TMPDIR']; os.chdir('/'); os.rmdir(d); open(d, 'w').close()",
    "a link inside": "import os; os.symlink({away!r}, 'link')",
    "nothing": "import os; d = os.environ['TMPDIR']; os.chdir('/'); os.rmdir(d)",
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@in_loop
async def test_whatever_is_in_its_place_is_removed_and_nothing_else(tmp_path: Path, act: str) -> None:
    away = tmp_path / "away"
    away.mkdir()
    (away / "precious").touch()
    async with keeper(tmp_path) as client:
        child = await client.spawn(python(act.format(away=str(away))))
        assert (await child.wait()).code == 0
        child.close_channel_ends()
        await until(lambda: not os.path.lexists(child.tmpdir))
    assert (away / "precious").exists()


AS_NOBODY = """
import os, tempfile
from supervisor.keeper.leftovers import remove
if os.getuid() == 0:
    os.setresuid(65534, 65534, 65534)
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    os.makedirs("child/read_only/deep")
    open("child/read_only/deep/file", "w").close()
    os.symlink("/", "child/read_only/root")
    os.chmod("child/read_only/deep", 0)
    os.chmod("child/read_only", 0o500)
    remove("child")
    raise SystemExit(os.path.lexists("child"))
"""


def test_parts_that_forbid_their_removal_are_removed() -> None:
    """Not as root, whom nothing forbids anything."""
    assert subprocess.run([sys.executable, "-c", AS_NOBODY], check=False).returncode == 0


def test_what_dead_keepers_left_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:  # noqa: S607 - found in PATH, as people do
        pass
    alive = subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", "supervisor.keeper"],
        stdout=subprocess.PIPE,
    )
    assert alive.stdout is not None
    alive.stdout.readline()
    try:
        for name in (f"a.{ended.pid}-1", f"b.1.{os.getpid()}-2", f"c.{alive.pid}-3", "somebody's"):
            (tmp_path / name / "deep").mkdir(parents=True)
        assert sweep(str(tmp_path)) == 2
        assert {each.name for each in tmp_path.iterdir()} == {f"c.{alive.pid}-3", "somebody's"}
    finally:
        alive.kill()
        alive.communicate()


def test_what_is_gone_is_removed_already(tmp_path: Path) -> None:
    remove(str(tmp_path / "none"))
    assert sweep(str(tmp_path / "none")) == 0


@in_loop
async def test_what_a_killed_keeper_told_nobody_of_is_removed(tmp_path: Path) -> None:
    """It dies between making a child's directory and saying so; its children's own stay until they end."""
    async with keeper(tmp_path) as client:
        child = await client.spawn(python("import signal; signal.pause()"))
        assert client.serving_pid is not None
        untold = Path(child.tmpdir).parent / f"untold.{client.serving_pid}-9"
        untold.mkdir()
        os.kill(client.serving_pid, signal.SIGKILL)
        await until(lambda: not untold.exists())
        assert os.path.isdir(child.tmpdir)
        client.kill(child, signal.SIGKILL)
        await child.wait()
        child.close_channel_ends()
