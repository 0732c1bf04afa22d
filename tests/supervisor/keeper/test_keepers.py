"""What happens to keepers: killed with children running, outdated, broken, out of fds. No attempt is lost to it."""

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.keeper import cgroups
from supervisor.keeper.client import Child, KeeperClient, Kind, Scope, SpawnError, SpawnRequest
from supervisor.keeper.process import KeeperProcess
from supervisor.keeper.reserve import FDS_PER_CHILD, FdReserve
from tests.supervisor.keeper.test_trees import DAEMON
from tests.supervisor.keeper.world import (
    ENV,
    alive,
    failing,
    fds,
    in_loop,
    keeper,
    line,
    output,
    python,
    settings,
    shell,
    until,
)

WAIT = "print('ready'); import os; code = 0 if os.read(3, 1) == b'' else 42"


async def killed(client: KeeperClient) -> None:
    """Kill the serving keeper, and wait until that has been noticed."""
    pid = client.serving_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: pid not in client.keeper_pids)


def greet(child: Child) -> None:
    assert child.frames_fd is not None
    os.write(child.frames_fd, b"x")


@in_loop
async def test_children_of_a_killed_keeper_are_told_truly(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        children = [await client.spawn(python(WAIT, f"n{number}")) for number in range(4)]
        for child in children:
            await line(child)
        await killed(client)
        greet(children[0])
        client.kill(children[1], signal.SIGKILL)
        client.kill(children[2], signal.SIGTERM, Scope.GROUP)
        client.kill(children[3], signal.SIGKILL, Scope.TREE)
        endings = [await child.wait() for child in children]
        for child in children:
            child.close_channel_ends()
    assert [(ending.code, ending.signal) for ending in endings] == [(42, None), (None, 9), (None, 15), (None, 9)]
    assert all(ending.usage is not None and ending.usage.max_rss > 0 for ending in endings)


@in_loop
async def test_the_next_child_gets_a_new_keeper(tmp_path: Path) -> None:
    warnings: list[str] = []
    client = KeeperClient(settings(tmp_path), warnings.append)
    await client.start()
    first = client.serving_pid
    await killed(client)
    child = await client.spawn(shell("exit 9"))
    assert (await child.wait()).code == 9
    child.close_channel_ends()
    assert client.serving_pid not in {None, first}
    await client.stop()
    assert ["died with 0 children" in warning for warning in warnings] == [True]


@in_loop
async def test_a_keeper_killed_while_children_end_loses_no_status(tmp_path: Path) -> None:
    """Whatever the moment: the keeper had told, or the status fell to us with the child."""
    async with keeper(tmp_path) as client:
        for _ in range(5):
            children = [await client.spawn(python(WAIT, f"n{number}")) for number in range(8)]
            for child in children:
                await line(child)
            for child in children[:4]:
                greet(child)
            assert client.serving_pid is not None
            os.kill(client.serving_pid, signal.SIGKILL)
            for child in children[4:]:
                greet(child)
            endings = [await child.wait() for child in children]
            assert [ending.code for ending in endings] == [42] * 8
            for child in children:
                child.close_channel_ends()


@in_loop
async def test_a_spawn_in_the_hands_of_a_dying_keeper_is_done_by_the_next(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        assert client.serving_pid is not None
        os.kill(client.serving_pid, signal.SIGSTOP)
        asked = asyncio.create_task(client.spawn(python("code = 5")))
        plain = asyncio.create_task(client.spawn(shell("exit 6", "plain")))
        await until(lambda: bool(client.pending))
        os.kill(client.serving_pid, signal.SIGKILL)
        child = await asked
        assert (await child.wait()).code == 5
        child.close_channel_ends()
        words = await failing(plain, SpawnError)
        assert words == "the keeper died while starting it"


@in_loop
async def test_a_keeper_that_hangs_is_replaced_and_its_children_are_not_lost(tmp_path: Path) -> None:
    async with keeper(tmp_path, spawn_within_s=0.2) as client:
        running = await client.spawn(python(WAIT, "running"))
        await line(running)
        hung = client.serving_pid
        assert hung is not None
        os.kill(hung, signal.SIGSTOP)
        child = await client.spawn(python("code = 8"))
        assert (await child.wait()).code == 8
        assert not alive(hung)
        greet(running)
        assert (await running.wait()).code == 42
        for one in (child, running):
            one.close_channel_ends()


@in_loop
async def test_a_keeper_that_says_anything_is_not_hung_however_long_a_wish_waits(tmp_path: Path) -> None:
    process = KeeperProcess(settings(tmp_path), lambda *_: None, lambda _: None, FdReserve())
    long_ago = asyncio.get_running_loop().time() - 1_000
    await process.start()
    assert 50 < process.patience_s(long_ago) <= 60
    await process.end_now()


@in_loop
async def test_a_leader_is_reached_though_its_keeper_hangs(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(python("import signal; print('ready'); signal.pause()"))
        await line(child)
        assert client.serving_pid is not None
        os.kill(client.serving_pid, signal.SIGSTOP)
        client.kill(child, signal.SIGTERM)
        await until(lambda: not alive(child.pid))
        os.kill(client.serving_pid, signal.SIGCONT)
        assert (await child.wait()).signal == signal.SIGTERM
        child.close_channel_ends()


@in_loop
async def test_a_child_that_comes_to_be_while_all_is_stopped_is_ended(tmp_path: Path) -> None:
    client = KeeperClient(settings(tmp_path))
    await client.start()
    assert client.serving_pid is not None
    os.kill(client.serving_pid, signal.SIGSTOP)  # so that it begins none before it is told to stop
    asked = [asyncio.create_task(client.spawn(shell("sleep 1000", f"n{number}"))) for number in range(5)]
    await until(lambda: len(client.pending) == 5)
    stopping = asyncio.create_task(client.stop())
    os.kill(client.serving_pid, signal.SIGCONT)
    await stopping
    for spawn in asked:
        assert "the keeper" in await failing(spawn, SpawnError)
    assert client.children == {}
    assert list((tmp_path / "children").iterdir()) == []


@pytest.mark.parametrize("grouped", [False, True], ids=["walk", "cgroup"])
@in_loop
async def test_daemons_of_a_fostered_child_do_not_outlive_it(tmp_path: Path, grouped: bool) -> None:  # noqa: FBT001 - a parameter of pytest's
    place = cgroups.prepare() if grouped else None
    if grouped and place is None:
        pytest.skip("this machine gives us no cgroup v2")
    async with keeper(tmp_path, cgroup=place) as client:
        child = await client.spawn(python(DAEMON + "daemon(); os.read(3, 1); code = 1"))
        daemon = int(await line(child))
        await killed(client)
        assert alive(daemon)
        greet(child)
        ending = await child.wait()
        assert (ending.code, ending.strays, ending.left) == (1, 1, 0)
        assert not alive(daemon)
        child.close_channel_ends()
    if place is not None:
        cgroups.forget(place)
        assert not Path(place).exists()


@in_loop
async def test_the_supervisor_s_other_children_are_not_strays(tmp_path: Path) -> None:
    other = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {}, setsid=True)
    try:
        async with keeper(tmp_path) as client:
            await killed(client)
            child = await client.spawn(shell("exit 0"))
            await killed(client)
            await child.wait()
            child.close_channel_ends()
        assert alive(other)
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    file = tmp_path / "code" / "changing.py"
    file.write_text("import os\ndef main(frames, logs):\n    os.read(3, 1)\n    return 10\n")
    return file


def changing(tmp_path: Path, **more: object) -> dict[str, object]:
    env = {**ENV, "PYTHONPATH": f"{ENV['PYTHONPATH']}:{tmp_path / 'code'}"}
    return {"env": env, "entry": "changing:main", **more}


def rewrite(file: Path, text: str) -> None:
    """As an editor or an installer does it: a new file in the old one's place."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


@in_loop
async def test_changed_code_is_served_by_a_new_keeper_and_the_old_ends_with_its_last_child(
    tmp_path: Path, module: Path
) -> None:
    async with keeper(tmp_path, **changing(tmp_path)) as client:
        old = await client.spawn(SpawnRequest("old", Kind.PYTHON))
        before = client.serving_pid
        rewrite(module, "def main(frames, logs):\n    return 20\n")
        new = await client.spawn(SpawnRequest("new", Kind.PYTHON))
        assert (await new.wait()).code == 20
        assert len(client.keeper_pids) == 2
        assert client.serving_pid != before
        greet(old)
        assert (await old.wait()).code == 10
        await until(lambda: client.keeper_pids == [client.serving_pid])
        old.close_channel_ends()
        new.close_channel_ends()


@in_loop
async def test_code_that_no_longer_imports_is_told_and_harms_nobody_who_runs(tmp_path: Path, module: Path) -> None:
    async with keeper(tmp_path, **changing(tmp_path)) as client:
        old = await client.spawn(SpawnRequest("old", Kind.PYTHON))
        rewrite(module, "def main(:\n")
        words = await failing(client.spawn(SpawnRequest("new", Kind.PYTHON)), SpawnError)
        assert "SyntaxError" in words
        greet(old)
        assert (await old.wait()).code == 10
        old.close_channel_ends()
        rewrite(module, "def main(frames, logs):\n    return 30\n")
        mended = await client.spawn(SpawnRequest("mended", Kind.PYTHON))
        assert (await mended.wait()).code == 30
        mended.close_channel_ends()


@in_loop
async def test_start_and_stop_are_a_contract(tmp_path: Path) -> None:
    client = KeeperClient(settings(tmp_path))
    await client.stop()
    assert "not started" in await failing(client.spawn(shell("true")), SpawnError)
    await client.start()
    await client.start()
    assert len(client.keeper_pids) == 1
    child = await client.spawn(shell("sleep 1000"))
    await client.stop()
    assert (await child.wait()).signal == signal.SIGKILL
    child.close_channel_ends()
    await client.stop()
    assert "was stopped" in await failing(client.spawn(shell("true")), SpawnError)
    await client.start()
    again = await client.spawn(shell("exit 1"))
    assert (await again.wait()).code == 1
    again.close_channel_ends()
    await client.stop()
    assert client.keeper_pids == []


@in_loop
async def test_a_stop_while_starting_leaves_no_keeper(tmp_path: Path) -> None:
    client = KeeperClient(settings(tmp_path))
    starting = asyncio.create_task(client.start())
    await until(lambda: bool(client.keeper_pids))
    (pid,) = client.keeper_pids
    await client.stop()
    await asyncio.gather(starting, return_exceptions=True)
    assert not alive(pid)
    assert client.keeper_pids == []


@contextlib.contextmanager
def only_fds(spare: int) -> Iterator[None]:
    """Leave room for so many more fds in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open("/dev/null", os.O_RDONLY)
    held = [os.dup(probe) for _ in range(256)]  # so that what is free below the limit is known: nothing
    top = max(held)
    resource.setrlimit(resource.RLIMIT_NOFILE, (top + 1, hard))
    for fd in held[len(held) - spare :]:
        os.close(fd)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in [probe, *held[: len(held) - spare]]:
            os.close(fd)


@in_loop
async def test_without_fds_a_spawn_fails_with_the_reason_and_nothing_leaks(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        running = await client.spawn(python(WAIT, "running"))
        await line(running)
        before = fds()
        slate = 1
        with only_fds(FDS_PER_CHILD - 1 + slate):
            words = await failing(client.spawn(python("pass", "refused")), SpawnError)
            assert words == "no file descriptors for another child: Too many open files"
        with only_fds(FDS_PER_CHILD + slate):
            last = await client.spawn(python("code = 2", "last"))
            assert (await last.wait()).code == 2
            last.close_channel_ends()
        greet(running)
        assert (await running.wait()).code == 42
        assert fds() == before - 1
        running.close_channel_ends()


@in_loop
async def test_a_keeper_without_fds_says_so_and_serves_on(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        assert client.serving_pid is not None
        low = len(os.listdir(f"/proc/{client.serving_pid}/fd")) + 4
        resource.prlimit(client.serving_pid, resource.RLIMIT_NOFILE, (low, 20_000))
        words = await failing(client.spawn(python("pass")), SpawnError)
        assert words == "Too many open files; raise the limit of open files (ulimit -n)"
        resource.prlimit(client.serving_pid, resource.RLIMIT_NOFILE, (20_000, 20_000))
        child = await client.spawn(python("code = 3"))
        assert (await child.wait()).code == 3
        child.close_channel_ends()
        assert await output_of(client) == "still here\n"


async def output_of(client: KeeperClient) -> str:
    child = await client.spawn(shell("echo still here", "echo"))
    await child.wait()
    return await output(child)


def test_the_reserve_holds_what_it_took_and_no_more() -> None:
    before = fds()
    reserve = FdReserve()
    reserve.give_back()
    reserve.open()
    reserve.shut(used=True)
    reserve.take()
    reserve.take()
    assert fds() == before + 2 * FDS_PER_CHILD
    reserve.open()
    assert fds() == before + FDS_PER_CHILD
    reserve.shut(used=False)
    assert fds() == before + 2 * FDS_PER_CHILD
    reserve.open()
    reserve.shut(used=True)
    reserve.give_back()
    assert fds() == before
    with only_fds(2), pytest.raises(OSError, match="Too many open files"):
        reserve.take()
    assert fds() == before
