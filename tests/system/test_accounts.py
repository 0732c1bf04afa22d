"""Children with an account of their own: what they can reach, and what they cannot."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.keeper.client import KeeperError
from supervisor.opening import children_root, lasting_root
from supervisor.outcome import Outcome
from supervisor.settings import load
from tests.system.checkpoints.worlds import World, world
from tests.system.world import play, stage

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="changing accounts is root's")]

USER = {"children.user": "nobody"}
SCRIPT = 'test "$(id -un)" = nobody && touch "$TMPDIR/mine" && touch relative && ! ls "$(dirname "$TMPDIR")"'


@pytest.mark.parametrize(
    ("task_id", "more"), [("say.success", {}), ("t", {"runtime": "plain", "command": ["sh", "-c", SCRIPT]})]
)
def test_it_has_its_directory_and_no_other(tmp_path: Path, task_id: str, more: dict[str, Any]) -> None:
    async def scenario() -> tuple[Outcome, str]:
        async with stage(tmp_path / "state", USER) as found:
            root = children_root(found.settings)
            workload = found.workload(task_id, **more)
            record = await found.attempt(workload).run()
            assert list(root.iterdir()) == []
            root.rmdir()
            return record.outcome, found.log(workload)

    outcome, log = play(scenario())
    assert outcome is Outcome.SUCCESS, log


def test_a_place_that_somebody_else_has_made_is_refused(tmp_path: Path) -> None:
    settings = load({"worker.state_dir": str(tmp_path), **USER}, environ={}).settings
    root = children_root(settings)
    assert children_root(settings) == root  # ours may be there already
    root.rmdir()
    root.symlink_to("/")
    with pytest.raises(KeeperError, match="ours alone"):
        children_root(settings)
    root.unlink()
    root.mkdir()
    os.chown(root, 65534, 65534)
    with pytest.raises(KeeperError, match="ours alone"):
        children_root(settings)
    root.rmdir()


# --- their checkpoints ------------------------------------------------------------------------------------------------

COUNTS = """
dir=$TASKHAND_CHECKPOINT_DIR
test "$(id -un)" = nobody || exit 1
if [ -f "$dir/inner/progress" ]; then
    echo again >>"$dir/inner/progress"; [ "$(cat "$dir/inner/progress")" = "1
again" ] && exit 0; exit 1
fi
ln -s /etc/shadow "$dir/shadow"
mkdir "$dir/.inner"; echo 1 >"$dir/.inner/progress"; mv "$dir/.inner" "$dir/inner"
printf . >"$WORK"; trap "exit 85" TERM; sleep 100 & wait
"""
FILES = """
import os, threading
from pathlib import Path
from runner import Context, flow, task

@task
def keeps(ctx: Context) -> str:
    read = ctx.checkpoint.blob
    if read is not None:
        return f"{os.getuid()} {read.read_text()}"
    Path("file").write_text("kept")
    ctx.save({"step": 1}, progress=1, blob="file")
    with open(os.environ["WORK"], "w") as work:
        work.write(".")
    threading.Event().wait()

@flow
def files() -> None:
    keeps()
"""


@pytest.fixture
def place() -> Iterator[World]:
    """A world that others can enter, as they cannot pytest's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o711)
    try:
        with world(folder) as found:
            found.work.path.chmod(0o666)
            yield found
    finally:
        settings = load({"worker.state_dir": str(folder / "state"), **USER}, environ={}).settings
        for each in (folder, settings.own_dir, children_root(settings)):
            shutil.rmtree(each)


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_a_plain_program_of_another_account_resumes(place: World, end: str) -> None:
    place.submit({"task_id": "t", "runtime": "plain", "command": ["sh", "-c", COUNTS], "resume_limit": 1})
    machine = place.machine(TASKHAND_CHILDREN_USER="nobody", TASKHAND_CHECKPOINTS_EVERY_S="0.05")
    assert place.work.until(1)
    while not any(event["what"] == "checkpoint" for event in place.story("t")):
        place.work.read(0.02)
    if end == "stopped":
        assert machine.stop() == 0
    else:
        machine.perish()
    place.machine(TASKHAND_CHILDREN_USER="nobody")
    assert place.end() == "success"
    assert place.instance("t")["try_number"] == 1


def test_a_python_task_of_another_account_keeps_a_file_and_finds_it(place: World) -> None:
    file = place.folder / "files.py"
    file.write_text(FILES)
    file.chmod(0o644)
    place.submit({"task_id": "keeps"}, file=file)
    # Where Python is may be closed to that account: then what it needs is imported before it is that account.
    preload = f"ast,hashlib,inspect,secrets,tempfile,textwrap,urllib.parse,runner.blobs,{file}"
    machine = place.machine(TASKHAND_CHILDREN_USER="nobody", TASKHAND_KEEPER_PRELOAD=preload)
    assert place.work.until(1)
    assert machine.stop() == 0
    place.machine(TASKHAND_CHILDREN_USER="nobody", TASKHAND_KEEPER_PRELOAD=preload)
    assert place.end() == "success"
    whats = [event["what"] for event in place.story("keeps")]
    assert (whats.count("resumes_from"), whats.count("told_success")) == (1, 1)


def test_what_lasts_is_where_the_account_can_reach_it_and_nobody_else(tmp_path: Path) -> None:
    settings = load({"worker.state_dir": str(tmp_path), **USER}, environ={}).settings
    root = lasting_root(settings)
    assert lasting_root(settings) == root == settings.own_dir
    blobs = (root / "blobs").stat()
    assert (blobs.st_uid, blobs.st_mode & 0o777) == (65534, 0o700)
    assert settings.child_blobs == str(root / "blobs")
    assert settings.blobs == str(tmp_path / "blobs")  # what the worker itself keeps is nobody else's to change
    shutil.rmtree(root)
