"""What a child finds when it begins, and what is told of how it ended. Each with a real process."""

import asyncio
import json
import os
import pwd
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.keeper import cgroups, identity
from supervisor.keeper.client import Kind, Scope, SpawnError, SpawnRequest
from supervisor.keeper.link import Account, Limits
from tests.supervisor.keeper.world import (
    failing,
    in_loop,
    keeper,
    line,
    output,
    program,
    python,
    settings,
    shell,
    until,
)

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="changing accounts is root's")
WAYS = pytest.mark.parametrize("cgroup", ["auto", None])
BOTH = pytest.mark.parametrize("kind", ["python", "exec"])
LOOK = """
import json, os, signal, sys
usual = (signal.SIG_DFL, signal.SIG_IGN, None, signal.default_int_handler)
blocked = [int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, ())]
handled = [int(n) for n in signal.valid_signals() if signal.getsignal(n) not in usual]
links = {fd: f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")}
fds = {fd: os.readlink(link).split(":")[0] for fd, link in links.items() if os.path.exists(link)}
print(json.dumps({"blocked": blocked, "handled": handled, "fds": fds, "sid": os.getsid(0), "pgid": os.getpgid(0),
    "pid": os.getpid(), "cwd": os.getcwd(), "env": dict(os.environ), "mode": oct(os.stat(".").st_mode & 0o777)}))
"""


def looking(kind: str) -> SpawnRequest:
    return python(LOOK) if kind == "python" else program(LOOK)


@in_loop
async def test_the_python_child_s_code_is_told_with_its_usage(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(python("x = bytearray(40_000_000); sum(range(300_000)); code = 7"))
        ending = await child.wait()
        child.close_channel_ends()
    assert (ending.code, ending.signal, ending.strays, ending.left) == (7, None, 0, 0)
    assert ending.usage is not None
    assert ending.usage.user_s + ending.usage.system_s > 0
    assert ending.usage.max_rss > 40_000_000


@pytest.mark.parametrize(
    ("act", "code", "number"),
    [
        ("pass", 0, None),
        ("raise SystemExit(3)", 3, None),
        ("raise SystemExit(None)", 0, None),
        ("raise SystemExit('words')", 1, None),
        ("raise ValueError", 1, None),
        ("import os; os._exit(85)", 85, None),
        ("code = 257", 1, None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", None, signal.SIGKILL),
        ("import faulthandler; faulthandler._sigsegv()", None, signal.SIGSEGV),
    ],
)
@in_loop
async def test_every_end_of_a_python_child_is_told_as_it_was(
    tmp_path: Path, act: str, code: int | None, number: int | None
) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(python(act))
        ending = await child.wait()
        child.close_channel_ends()
    assert (ending.code, ending.signal) == (code, number)


@pytest.mark.parametrize(
    ("script", "code", "number"), [("exit 99", 99, None), ("kill -TERM $$", None, 15), ("kill -KILL $$", None, 9)]
)
@WAYS
@in_loop
async def test_every_end_of_another_program_is_told_as_it_was(
    tmp_path: Path, cgroup: str | None, script: str, code: int | None, number: int | None
) -> None:
    async with keeper(tmp_path, cgroup=cgroup) as client:
        child = await client.spawn(shell(script))
        ending = await child.wait()
        child.close_channel_ends()
    assert (ending.code, ending.signal) == (code, number)


@BOTH
@WAYS
@in_loop
async def test_a_child_begins_with_nothing_of_its_keeper_s(tmp_path: Path, cgroup: str | None, kind: str) -> None:
    async with keeper(tmp_path, cgroup=cgroup) as client:
        child = await client.spawn(looking(kind))
        found = json.loads(await output(child))
    channels = {"0": "/dev/null", "1": "pipe", "2": "pipe", "3": "socket", "4": "pipe"}
    assert found["fds"] == channels | {"5": "pipe"}, "5 is the leash"
    assert found["blocked"] == []
    assert set(found["handled"]) <= ({signal.SIGUSR2} if kind == "python" else set())
    assert found["sid"] == found["pgid"] == found["pid"] == child.pid
    assert found["cwd"] == found["env"]["TMPDIR"] == found["env"]["TASKHAND_TMPDIR"] == child.tmpdir
    assert (found["env"]["TASKHAND_FD"], found["env"]["TASKHAND_LOG_FD"]) == ("3", "4")
    assert found["mode"] == "0o700"


@WAYS
@in_loop
async def test_a_child_without_frames_has_its_leash_and_no_ends_to_look_for(tmp_path: Path, cgroup: str | None) -> None:
    async with keeper(tmp_path, cgroup=cgroup) as client:
        child = await client.spawn(shell("ls /proc/self/fd | tr '\\n' ' '; echo $TASKHAND_FD-"))
        assert child.frames_fd is None
        assert await output(child) == "0 1 2 3 5 -\n"  # 3 is the folder that ls reads, 5 the leash


@WAYS
@in_loop
async def test_a_program_finds_sigpipe_as_the_kernel_has_it(tmp_path: Path, cgroup: str | None) -> None:
    async with keeper(tmp_path, cgroup=cgroup) as client:
        child = await client.spawn(shell("grep -E 'Sig(Ign|Blk)' /proc/self/status"))
        masks = dict(text.split(":") for text in (await output(child)).splitlines())
    ordinary = (1 << 31) - 1  # above are those of the C library, which come and go with who started us
    assert [int(masks[name], 16) & ordinary for name in ("SigBlk", "SigIgn")] == [0, 0]


@in_loop
async def test_frames_go_both_ways_and_logs_one(tmp_path: Path) -> None:
    act = "import os; os.write(3, b'ask:' + os.read(3, 100)); os.write(4, b'logged')"
    async with keeper(tmp_path) as client:
        child = await client.spawn(python(act))
        assert child.frames_fd is not None
        assert child.logs_fd is not None
        with socket.socket(fileno=os.dup(child.frames_fd)) as frames:
            frames.setblocking(True)
            frames.send(b"greeting")
            await child.wait()
            assert frames.recv(100) == b"ask:greeting"
        assert os.read(child.logs_fd, 100) == b"logged"
        child.close_channel_ends()


@in_loop
async def test_the_child_s_directory_is_removed_with_all_that_is_in_it(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(shell("mkdir -p a/b && echo x > a/b/c && ln -s / a/root && pwd"))
        there = Path((await output(child)).strip())
        await child.wait()
    assert not there.exists()
    assert Path("/bin/sh").exists()


@in_loop
async def test_limits_hold_and_open_files_are_as_they_were(tmp_path: Path) -> None:
    act = "import resource as r; print([r.getrlimit(x) for x in (r.RLIMIT_NOFILE, r.RLIMIT_CORE, r.RLIMIT_FSIZE)])"
    async with keeper(tmp_path) as client:
        plain = await client.spawn(python(act, "plain"))
        bound = await client.spawn(python(act, "bound", Limits(rlimits={"nofile": 99, "core": 0, "fsize": 4096})))
        assert json.loads((await output(plain)).translate({40: 91, 41: 93}))[0] == list(
            resource.getrlimit(resource.RLIMIT_NOFILE)
        )
        assert await output(bound) == "[(99, 99), (0, 0), (4096, 4096)]\n"


@ROOT_ONLY
@in_loop
async def test_a_child_may_have_an_account_of_its_own(place: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    account = Account("nobody", nobody.pw_uid, nobody.pw_gid, (), "/nowhere")
    async with keeper(place) as client:
        Path(place / "children").chmod(0o711)
        child = await client.spawn(
            shell("id -u; id -g; id -G; echo $USER $HOME; touch mine && ls", limits=Limits(account=account))
        )
        uid, gid, groups, names, mine = (await output(child)).splitlines()
        ending = await child.wait()
    assert (int(uid), int(gid), groups) == (nobody.pw_uid, nobody.pw_gid, gid)
    assert (names, mine, ending.code) == ("nobody /nowhere", "mine", 0)


@in_loop
async def test_oom_score_adj_is_set(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(shell("cat /proc/self/oom_score_adj", limits=Limits(oom_score_adj=777)))
        assert await output(child) == "777\n"


@ROOT_ONLY
@in_loop
async def test_nobody_else_can_read_a_python_child(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(python("print('here'); import time, signal; signal.pause()"))
        await line(child)
        assert os.stat(f"/proc/{child.pid}/environ").st_uid == 0
        denied = subprocess.run(
            ["/bin/cat", f"/proc/{child.pid}/environ"], user="nobody", capture_output=True, check=False
        )
        assert b"Permission denied" in denied.stderr
        client.kill(child, signal.SIGKILL)
        await child.wait()
        child.close_channel_ends()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (SpawnRequest("a", Kind.EXEC, ("/nowhere/program",)), "exec /nowhere/program: [Errno 2] No such file"),
        (SpawnRequest("a", Kind.EXEC, ("/etc/passwd",)), "Permission denied"),
        (SpawnRequest("a", Kind.EXEC), "nothing to execute"),
        (SpawnRequest("../a", Kind.PYTHON), "no name for an attempt"),
        (SpawnRequest("a", Kind.PYTHON, cwd="/nowhere"), "working directory: [Errno 2]"),
        (SpawnRequest("a", Kind.PYTHON, limits=Limits(rlimits={"nonsense": 1})), "limits: "),
        (SpawnRequest("a", Kind.EXEC, ("/bin/true", "x" * 150_000)), "Argument list too long"),
        (SpawnRequest("a", Kind.EXEC, ("/bin/true", *["x" * 100_000] * 3)), "where 196608 fit"),
    ],
)
@WAYS
@in_loop
async def test_a_child_that_cannot_begin_is_refused_with_the_reason(
    tmp_path: Path, cgroup: str | None, request_: SpawnRequest, words: str
) -> None:
    async with keeper(tmp_path, cgroup=cgroup) as client:
        assert words in await failing(client.spawn(request_), SpawnError)
        child = await client.spawn(shell("exit 4", "a"))  # the name is free again, and nobody noticed
        assert (await child.wait()).code == 4
        child.close_channel_ends()


@in_loop
async def test_a_program_is_found_in_the_path_it_will_have(tmp_path: Path) -> None:
    (tmp_path / "bin" / "mine").mkdir(parents=True)
    (tmp_path / "bin" / "tool").write_text("#!/bin/sh\nexit 12\n")
    (tmp_path / "bin" / "tool").chmod(0o755)
    for cgroup in ("auto", None):
        async with keeper(tmp_path, cgroup=cgroup) as client:
            for program_, code in (("tool", 12), ("true", 0)):
                request = SpawnRequest("a", Kind.EXEC, (program_,), env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
                child = await client.spawn(request)
                assert (await child.wait()).code == code
                child.close_channel_ends()
            request = SpawnRequest("a", Kind.EXEC, ("mine",), env={"PATH": f"{tmp_path}/bin"})
            assert "exec mine: " in await failing(client.spawn(request), SpawnError)


@in_loop
async def test_a_keeper_is_after_a_program_what_it_was_before(tmp_path: Path) -> None:
    async with keeper(tmp_path, cgroup="auto") as client:
        pid = client.serving_pid

        def state() -> list[str]:
            kept = [Path(f"/proc/{pid}/{name}").read_text() for name in ("limits", "cgroup")]
            return [*kept, os.readlink(f"/proc/{pid}/cwd"), str(len(os.listdir(f"/proc/{pid}/fd")))]

        before = state()
        for number, argv in enumerate([("/bin/true",), ("/no/such",), ("/bin/true", "x" * 150_000)]):
            request = SpawnRequest(f"n{number}", Kind.EXEC, argv)
            try:
                child = await client.spawn(request)
            except SpawnError:
                continue
            await child.wait()
            child.close_channel_ends()
        assert state() == before


@in_loop
async def test_no_two_children_have_one_name(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(shell("exec sleep 1000"))
        assert "runs already" in await failing(client.spawn(shell("true")), SpawnError)
        client.kill(child, signal.SIGKILL)
        await child.wait()
        child.close_channel_ends()


@in_loop
async def test_a_spawn_that_is_given_up_leaves_no_child(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        asked = asyncio.create_task(client.spawn(shell("sleep 1000")))
        while client.pending != ["attempt"]:
            await asyncio.sleep(0)  # every turn of the loop: it may be started within two milliseconds
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await until(lambda: client.pending == [] and client.children == {})
        child = await client.spawn(shell("exit 5", "other"))
        assert (await child.wait()).code == 5
        child.close_channel_ends()


@pytest.mark.slow
@in_loop
async def test_sixty_at_a_time_are_sixty_true_answers(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:

        async def one(number: int) -> int | None:
            child = await client.spawn(python(f"code = {number}", f"n{number}"))
            ending = await child.wait()
            child.close_channel_ends()
            return ending.code

        assert await asyncio.gather(*map(one, range(60))) == list(range(60))


def test_the_keeper_imports_little(tmp_path: Path) -> None:
    source = (
        "import sys; sys.argv[1:] = []; import supervisor.keeper.__main__;"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], env=dict(settings(tmp_path).env), capture_output=True, text=True, check=True
    )
    modules = set(json.loads(done.stdout.replace("'", '"')))
    assert (
        modules & {"asyncio", "click", "httpx", "logging", "psutil", "rich", "ssl", "structlog", "subprocess"} == set()
    )


@in_loop
async def test_the_keeper_is_small(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        status = Path(f"/proc/{client.serving_pid}/status").read_text()
    rss_kib = next(int(text.split()[1]) for text in status.splitlines() if text.startswith("VmRSS"))
    assert rss_kib < 30_000


@in_loop
async def test_limits_that_this_machine_cannot_keep_are_told_with_the_child(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:  # without a cgroup
        child = await client.spawn(shell("true", limits=Limits(memory=10**8, pids=50, cpu_weight=50)))
        await child.wait()
        child.close_channel_ends()
    assert [warning.split(" is not")[0] for warning in child.warnings] == [
        "the limit on memory",
        "the limit on pids",
        "the limit on cpu",
    ]


def test_an_account_bounds_pids_where_no_controller_does() -> None:
    account = Account("nobody", 65534, 65534)
    assert cgroups.unenforced(Limits(pids=5, account=account), frozenset()) == []
    assert len(cgroups.unenforced(Limits(pids=5), frozenset())) == 1
    assert cgroups.unenforced(Limits(pids=5), frozenset({"pids"})) == []


@in_loop
async def test_a_signal_reaches_the_leader_or_the_group(tmp_path: Path) -> None:
    member = "(trap 'echo member; exit' TERM; echo ready; while :; do sleep 0.05; done)"
    script = f"trap 'echo leader; exit 3' TERM; {member} & wait"
    async with keeper(tmp_path) as client:
        child = await client.spawn(shell(script))
        assert await line(child) == "ready"
        client.kill(child, signal.SIGTERM, Scope.GROUP)
        ending = await child.wait()
        words = sorted((await output(child)).split())
    assert ending.code == 3
    assert "leader" in words


@in_loop
async def test_a_child_s_identity_is_its_pid_and_when_it_was_started(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(shell("sleep 1000"))
        assert child.start_time == identity.start_time(child.pid) > 0
        client.kill(child, signal.SIGKILL)
        await child.wait()
        child.close_channel_ends()
        gone = await client.spawn(shell("true", "gone"))
        await gone.wait()
        gone.close_channel_ends()
        assert gone.start_time == 0
