"""A supervisor that will be killed, or whose keeper will: it starts children that nothing but SIGKILL ends.

It says who the keeper and the children are. Nobody else would end them within this test's life: their keeper has a
door, and all the grace in the world.
"""

import asyncio
import sys
from pathlib import Path

from supervisor.keeper.client import KeeperClient
from supervisor.keeper.link import Account, Limits
from tests.supervisor.keeper.world import line, python, settings, shell

DEAF = """
import signal
for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(number, signal.SIG_IGN)
print(os.getpid())
while True: signal.pause()
"""
PLAIN = "trap '' TERM HUP INT IO; sleep 1000 & echo $!; while :; do wait; done"


async def main(folder: Path, uid: int) -> None:
    """Never returns. With `uid`, the children have an account of their own."""
    limits = Limits(account=Account("somebody", uid, uid)) if uid else None
    client = KeeperClient(settings(folder, doors=str(folder / "doors"), orphan_grace_s=1000.0))
    (folder / "children").mkdir()
    (folder / "children").chmod(0o711)
    await client.start()
    children = [
        await client.spawn(python("import os\n" + DEAF, "python", limits)),
        await client.spawn(shell(PLAIN, "plain", limits)),
    ]
    told = [await line(child) for child in children]  # the second one's is of its own child
    print(*client.keeper_pids, *(child.pid for child in children), told[1], flush=True)  # noqa: T201 - it is how it says so
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
