"""Groups, on this machine where it lets us, and what is written into them, which needs no machine."""

import os
import signal
from pathlib import Path

import pytest

from supervisor.keeper import cgroups
from supervisor.keeper.cgroups import Group, Groups
from supervisor.keeper.link import Limits
from tests.supervisor.keeper.world import in_loop, keeper, line, python, shell


@pytest.fixture
def groups() -> Groups:
    place = cgroups.prepare()
    if place is None:
        pytest.skip("this machine gives us no cgroup v2")
    return Groups(place)


def test_limits_are_files_of_their_controllers() -> None:
    assert cgroups.files_for(Limits(memory=1000, pids=5, cpu_weight=50)) == [
        ("memory", "memory.max", "1000"),
        ("memory", "memory.oom.group", "1"),
        ("pids", "pids.max", "5"),
        ("cpu", "cpu.weight", "50"),
    ]
    assert cgroups.files_for(Limits()) == []


def test_a_group_is_removed_when_nobody_is_in_it(groups: Groups) -> None:
    group = groups.make("one", Limits(memory=1 << 30, pids=100))
    pid = os.fork()
    if pid == 0:
        group.join()
        signal.pause()
    while group.pids() != [pid]:
        os.sched_yield()
    assert not group.remove()
    group.kill()
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    while not group.remove():
        os.sched_yield()
    assert group.remove()
    assert group.pids() == []
    assert group.oom_kills() == 0
    cgroups.forget(groups.root)
    assert not Path(groups.root).exists()


def test_a_name_that_is_taken_is_an_error_and_leaves_the_other_alone(groups: Groups) -> None:
    group = groups.make("one", Limits())
    with pytest.raises(FileExistsError):
        groups.make("one", Limits())
    assert Path(group.path).is_dir()
    cgroups.forget(groups.root)


def test_who_was_killed_for_want_of_memory_is_read_from_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("low 0\nhigh 3\nmax 7\noom 2\noom_kill 2\noom_group_kill 1\n")
    assert Group(str(tmp_path)).oom_kills() == 2


def test_without_cgroup_kill_everyone_is_killed_one_by_one(tmp_path: Path) -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
    (tmp_path / "cgroup.procs").write_text(f"{pid}\n")
    Group(str(tmp_path)).kill()
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    Group(str(tmp_path)).kill()  # it is gone, and that is no error


def test_places_of_supervisors_that_are_gone_are_removed(groups: Groups) -> None:
    ended = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(ended, 0)
    left = Path(groups.root).with_name(f"taskhand-{ended}-1")
    (left / "attempt").mkdir(parents=True)
    again = cgroups.prepare()
    assert again is not None
    assert not left.exists()
    assert Path(groups.root).exists()
    cgroups.forget(groups.root)
    cgroups.forget(again)


@in_loop
async def test_a_keeper_uses_groups_by_itself_where_it_can(tmp_path: Path) -> None:
    async with keeper(tmp_path, cgroup="auto") as client:
        child = await client.spawn(shell("echo ready; sleep 1000"))
        await line(child)
        own = Path(f"/proc/{child.pid}/cgroup").read_text().splitlines()[-1]
        assert (f"taskhand-{os.getpid()}-" in own) == (cgroups.own_group() is not None)
        client.kill(child, signal.SIGKILL)
        await child.wait()
        child.close_channel_ends()
        other = await client.spawn(python("code = 1", "other"))
        assert (await other.wait()).code == 1
        other.close_channel_ends()
    found = cgroups.own_group()
    assert found is None or list(found.glob(f"taskhand-{os.getpid()}-*")) == []
