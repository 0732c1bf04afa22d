"""After an attempt ended nobody of its tree is left, whatever it did to be left. With a cgroup, and without one."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from supervisor.keeper import cgroups
from supervisor.keeper.client import KeeperClient, Scope
from supervisor.keeper.link import Account, Limits
from supervisor.keeper.trees import children_of, descendants_of
from tests.supervisor.keeper.world import ENV, alive, ended, in_loop, keeper, line, program, python, shell, until

GROUPED = pytest.mark.parametrize("grouped", [False, True], ids=["walk", "cgroup"])
# What a program does to get rid of its parents: a session of its own, twice, in another directory, ends closed.
DAEMON = """
import os, sys, time, signal
def daemon():
    there, here = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setpgid(0, 0)
            os.chdir("/")
            os.write(1, b"%d\\n" % os.getpid())
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            os.closerange(0, 100)
            while True: time.sleep(1000)
        os._exit(0)
    os.wait()
    os.close(here)
    os.read(there, 1)
    os.close(there)
"""


@contextlib.asynccontextmanager
async def world(tmp_path: Path, *, grouped: bool) -> AsyncIterator[KeeperClient]:
    """A client with or without a cgroup to put its children into."""
    if not grouped:
        async with keeper(tmp_path) as client:
            yield client
        return
    place = cgroups.prepare()
    if place is None:
        pytest.skip("this machine gives us no cgroup v2")
    async with keeper(tmp_path, cgroup=place) as client:
        yield client
    assert [path for path in Path(place).iterdir() if path.is_dir()] == []
    cgroups.forget(place)
    assert not Path(place).exists()


@GROUPED
@in_loop
async def test_a_daemon_of_a_python_child_does_not_outlive_it(tmp_path: Path, grouped: bool) -> None:  # noqa: FBT001 - a parameter of pytest's
    async with world(tmp_path, grouped=grouped) as client:
        child = await client.spawn(python(DAEMON + "daemon(); code = 3"))
        daemon = int(await line(child))
        ending = await child.wait()
        assert (ending.code, ending.strays, ending.left) == (3, 1, 0)
        assert not alive(daemon)
        child.close_channel_ends()


@GROUPED
@in_loop
async def test_daemons_of_another_program_do_not_outlive_it(tmp_path: Path, grouped: bool) -> None:  # noqa: FBT001 - as above
    async with world(tmp_path, grouped=grouped) as client:
        child = await client.spawn(program(DAEMON + "daemon(); daemon(); daemon(); os.kill(os.getpid(), 9)"))
        daemons = [int(await line(child)) for _ in range(3)]
        ending = await child.wait()
        assert (ending.signal, ending.strays, ending.left) == (9, 3, 0)
        assert not any(map(alive, daemons))
        child.close_channel_ends()


@GROUPED
@in_loop
async def test_a_kill_of_the_tree_reaches_daemons_and_those_that_are_stopped(tmp_path: Path, grouped: bool) -> None:  # noqa: FBT001 - as above
    async with world(tmp_path, grouped=grouped) as client:
        child = await client.spawn(python(DAEMON + "daemon(); os.kill(os.getpid(), signal.SIGSTOP)"))
        daemon = int(await line(child))
        client.kill(child, signal.SIGKILL, Scope.TREE)
        ending = await child.wait()
        assert (ending.signal, ending.left) == (signal.SIGKILL, 0)
        assert not alive(daemon)
        child.close_channel_ends()


@GROUPED
@in_loop
async def test_one_attempt_s_end_leaves_another_s_daemons_alone(tmp_path: Path, grouped: bool) -> None:  # noqa: FBT001 - as above
    async with world(tmp_path, grouped=grouped) as client:
        stays = await client.spawn(python(DAEMON + "daemon(); os.read(3, 1)", "stays"))
        theirs = int(await line(stays))
        for number in range(5):
            child = await client.spawn(python(DAEMON + "daemon()", f"goes-{number}"))
            assert (await child.wait()).strays == 1
            child.close_channel_ends()
        assert alive(theirs)
        client.kill(stays, signal.SIGKILL)
        assert (await stays.wait()).strays == 1
        assert not alive(theirs)
        stays.close_channel_ends()


@pytest.mark.slow
@GROUPED
@in_loop
async def test_a_fork_bomb_is_bounded_and_ended(place: Path, grouped: bool) -> None:  # noqa: FBT001 - as above
    """Bounded by RLIMIT_NPROC of an account: it needs no pids controller, which not every machine gives us."""
    uid = 100_000 + os.getpid()  # nobody's, not even of a test that runs beside this one
    limits = Limits(pids=40, account=Account("bomber", uid, uid))
    bomb = """
import os
print("ready", flush=True)
while True:
    try: os.fork()
    except OSError: pass
"""
    async with world(place, grouped=grouped) as client:
        (place / "children").chmod(0o711)
        bystander = await client.spawn(shell("sleep 1000", "bystander"))
        child = await client.spawn(python(bomb, limits=limits))
        await line(child)
        await until(lambda: len(owned_by(uid)) >= 35)
        assert len(owned_by(uid)) <= 40
        client.kill(child, signal.SIGKILL, Scope.TREE)
        ending = await child.wait()
        assert (ending.signal, ending.left) == (9, 0)
        assert owned_by(uid) == []
        assert not bystander.ended.done()
        client.kill(bystander, signal.SIGKILL)
        await bystander.wait()
        child.close_channel_ends()
        bystander.close_channel_ends()


@in_loop
async def test_a_child_that_closes_its_ends_and_lives_on_is_still_known(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(python("import os, signal; os.closerange(0, 10); signal.pause()"))
        client.release(child)
        assert await line(child) == ""  # the end, while it lives
        assert not child.ended.done()
        assert alive(child.pid)
        client.kill(child, signal.SIGTERM)
        assert (await child.wait()).signal == signal.SIGTERM
        child.close_channel_ends()


@in_loop
async def test_a_released_child_notices_that_its_supervisor_hung_up(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(python("import os; code = 6 if os.read(3, 1) == b'' else 7"))
        client.release(child)
        child.close_channel_ends()
        assert (await child.wait()).code == 6


@in_loop
async def test_a_signal_after_the_end_reaches_nobody(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(shell("exit 0"))
        await child.wait()
        child.close_channel_ends()
        for scope in Scope:
            client.kill(child, signal.SIGKILL, scope)
        other = await client.spawn(shell("exit 2", "other"))
        assert (await other.wait()).code == 2
        other.close_channel_ends()


def test_who_descends_from_whom() -> None:
    child = os.posix_spawn("/bin/sh", ["sh", "-c", "sleep 1000 & echo >&2; wait"], {}, setsid=True)
    try:
        deadline = time.monotonic() + 20
        while not children_of(child) and time.monotonic() < deadline:
            os.sched_yield()
        (grandchild,) = children_of(child)
        assert child in children_of(os.getpid())
        assert {child, grandchild} <= set(descendants_of(os.getpid()))
    finally:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert children_of(child) == []


@in_loop
async def test_children_do_not_outlive_a_supervisor_that_nobody_replaces(tmp_path: Path) -> None:
    """They are asked first, and killed when they do not listen."""
    command = [sys.executable, "-m", "tests.supervisor.keeper.doomed", str(tmp_path)]
    with subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(word) for word in supervisor.stdout.readline().split()]
        supervisor.kill()
    assert len(pids) == 3
    await asyncio.gather(*map(ended, pids))
    assert (tmp_path / "told").is_dir()


def owned_by(uid: int) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}/task").st_uid == uid or real_uid(int(name)) == uid:
                found.append(int(name))
    return [pid for pid in found if alive(pid)]


def real_uid(pid: int) -> int:
    return next(int(text.split()[1]) for text in Path(f"/proc/{pid}/status").read_text().splitlines() if "Uid" in text)
