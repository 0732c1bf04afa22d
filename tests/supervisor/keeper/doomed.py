"""A supervisor that will be killed: it starts two children, says who they and the keeper are, and waits for it."""

import asyncio
import sys
from pathlib import Path

from supervisor.keeper.client import KeeperClient
from tests.supervisor.keeper.world import line, python, settings

POLITE = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: (os.mkdir({told!r}), os._exit(0)))
print("ready")
while True: signal.pause()
"""
DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready")
while True: signal.pause()
"""


async def main(folder: Path) -> None:
    """Never returns."""
    client = KeeperClient(settings(folder, orphan_grace_s=0.2))
    await client.start()
    children = [
        await client.spawn(python(POLITE.format(told=str(folder / "told")), "polite")),
        await client.spawn(python(DEAF, "deaf")),
    ]
    for child in children:
        await line(child)
    print(*client.keeper_pids, *(child.pid for child in children), flush=True)  # noqa: T201 - it is how it says so
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
