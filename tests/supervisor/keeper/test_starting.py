"""A keeper that does not come to be: said, and tried again where that may help."""

from pathlib import Path

import pytest

from supervisor.keeper.client import KeeperClient, KeeperError, SpawnError
from tests.supervisor.keeper.world import ENV, failing, fds, in_loop, keeper, settings, shell

pytestmark = pytest.mark.slow


@in_loop
async def test_a_keeper_that_is_killed_while_it_starts_is_replaced(tmp_path: Path) -> None:
    entry, mark = "tests.supervisor.keeper.killed_once:main", {"KILLED_ONCE": str(tmp_path / "first")}
    async with keeper(tmp_path, entry=entry, env=ENV | mark) as client:
        assert client.serving_pid is not None
        child = await client.spawn(shell("exit 3"))
        assert (await child.wait()).code == 3
        child.close_channel_ends()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"entry": "no.such:thing"}, "ModuleNotFoundError"),
        ({"entry": "os:no_such"}, "AttributeError"),
        ({"entry": "tests.supervisor.keeper.never_ready:main", "ready_within_s": 0.3}, "not ready within 0.3 s"),
        ({"entry": "tests.supervisor.keeper.dies_early:main"}, "it ended with status"),
        ({"python": "/no/such/python"}, "could not be started"),
    ],
)
@in_loop
async def test_a_keeper_that_cannot_start_says_why_and_leaves_nothing(
    tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    before = fds()
    client = KeeperClient(settings(tmp_path, **changed))
    assert words in await failing(client.start(), KeeperError)
    assert client.keeper_pids == []
    assert words in await failing(client.spawn(shell("true")), SpawnError)
    await client.stop()
    assert fds() == before
