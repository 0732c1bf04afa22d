"""Children with an account of their own: what they can reach, and what they cannot."""

import os
from pathlib import Path
from typing import Any

import pytest

from supervisor.keeper.client import KeeperError
from supervisor.opening import children_root
from supervisor.outcome import Outcome
from supervisor.settings import load
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
