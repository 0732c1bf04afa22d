"""What is done around a fork: nothing that a keeper with one thread has no use for; all that a child needs later."""

from pathlib import Path

import pytest

from tests.supervisor.keeper.world import in_loop, keeper, line, python

LOCKED = """
import logging, os, threading
held, go = threading.Event(), threading.Event()
handler = logging.StreamHandler()
logging.getLogger().addHandler(handler)
def hold():
    with handler.lock:
        held.set()
        go.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
pid = os.fork()
if not pid:
    logging.getLogger("mended").warning("this takes the lock that the thread had")
    os._exit(len(threading.enumerate()))
go.set()
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
SPYING = "import os; found = []; os.register_at_fork(after_in_child=lambda: found.append(os.getpid()))"
THREADED = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"


@in_loop
async def test_a_child_that_has_threads_when_it_forks_finds_its_locks_mended(tmp_path: Path) -> None:
    async with keeper(tmp_path, preload=("threading", "logging")) as client:
        child = await client.spawn(python(LOCKED))
        assert (await child.wait()).code == 1, "it has one thread, and could take the lock"
        child.close_channel_ends()


@in_loop
async def test_what_another_module_wants_done_is_done_in_each_child(tmp_path: Path) -> None:
    flow = tmp_path / "spying.py"
    flow.write_text(SPYING)
    look = "import os, sys; found = next(m.found for n, m in sys.modules.items() if n.endswith('spying_dpy'))"
    async with keeper(tmp_path, preload=(str(flow),)) as client:
        for number in range(2):
            child = await client.spawn(python(f"{look}; code = found != [os.getpid()]", f"attempt-{number}"))
            assert (await child.wait()).code == 0
            child.close_channel_ends()


@pytest.mark.parametrize(("preload", "alive"), [(("threading",), 1), (("threading", "threaded.py"), 1)])
@in_loop
async def test_a_child_has_the_threads_that_it_has(tmp_path: Path, preload: tuple[str, ...], alive: int) -> None:
    (tmp_path / "threaded.py").write_text(THREADED)
    modules = tuple(str(tmp_path / what) if what.endswith(".py") else what for what in preload)
    async with keeper(tmp_path, preload=modules) as client:
        child = await client.spawn(python("import threading; code = len(threading.enumerate())"))
        assert (await child.wait()).code == alive
        child.close_channel_ends()


@in_loop
async def test_what_a_keeper_holds_for_each_child_is_no_child_s_to_look_at(tmp_path: Path) -> None:
    count = "import gc, os; os.write(1, b'%d\\n' % len(gc.get_objects())); code = 0"
    async with keeper(tmp_path) as client:
        found = []
        for number in range(3):
            child = await client.spawn(python(count, f"counting-{number}"))
            found.append(int(await line(child)))
            await child.wait()
            child.close_channel_ends()
            sleepers = [f"asleep-{number}-{each}" for each in range(20)]
            asleep = [await client.spawn(python("import signal; signal.pause()", name)) for name in sleepers]
            for each in asleep:
                each.close_channel_ends()
    first, *more = found
    assert max(more) <= first + 10, "20 children more were 40 objects more for each child to look at"
