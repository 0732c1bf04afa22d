"""What a child is doing, asked before it is killed."""

import asyncio
import os
import signal
from pathlib import Path

from supervisor.keeper.stacks import dump_stacks, kernel_state
from tests.supervisor.keeper.world import in_loop, keeper, line, python, shell, until

THREADS = """
import threading, time
def waits_in_a_thread(): threading.Event().wait()
def hangs_here():
    print("ready", flush=True)
    while True: pass
threading.Thread(target=waits_in_a_thread, daemon=True).start()
hangs_here()
"""


async def stderr_of(fd: int) -> str:
    return (await asyncio.get_running_loop().run_in_executor(None, os.read, fd, 1 << 16)).decode()


@in_loop
async def test_a_busy_python_child_tells_where_all_its_threads_are(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(python(THREADS))
        await line(child)
        assert await dump_stacks(child, 5.0)
        text = await stderr_of(child.stderr_fd)
        assert "hangs_here" in text
        assert "waits_in_a_thread" in text
        assert not child.ended.done()
        client.kill(child, signal.SIGKILL)
        await child.wait()
        assert not await dump_stacks(child, 5.0)
        child.close_channel_ends()


@in_loop
async def test_a_crash_leaves_its_stack_in_the_log(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(python("def here(): os.kill(os.getpid(), 11)\nimport os\nhere()"))
        assert (await child.wait()).signal == signal.SIGSEGV
        assert "Fatal Python error: Segmentation fault" in await stderr_of(child.stderr_fd)
        child.close_channel_ends()


@in_loop
async def test_a_stopped_child_cannot_be_asked_and_the_kernel_says_so(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(python("import os, signal; print('ready'); os.kill(os.getpid(), signal.SIGSTOP)"))
        await line(child)
        await until(lambda: any("stopped" in str(thread.get("state")) for thread in kernel_state(child.pid)))
        assert not await dump_stacks(child, 0.05)
        (thread,) = kernel_state(child.pid)
        assert (thread["pid"], thread["thread"], thread["state"]) == (child.pid, child.pid, "T (stopped)")
        client.kill(child, signal.SIGKILL)
        await child.wait()
        child.close_channel_ends()


@in_loop
async def test_another_program_is_not_asked_but_looked_at_with_its_children(tmp_path: Path) -> None:
    async with keeper(tmp_path) as client:
        child = await client.spawn(shell("sleep 1000 & echo ready; wait"))
        await line(child)
        assert not await dump_stacks(child, 5.0)
        await until(lambda: [thread["name"] for thread in kernel_state(child.pid)] == ["sh", "sleep"])
        client.kill(child, signal.SIGKILL)
        await child.wait()
        assert kernel_state(child.pid) == []
        child.close_channel_ends()
