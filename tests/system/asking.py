"""A flow for the tests of leases and tokens: tasks that go on until they are told that it is enough."""

import os
import threading
import time
from pathlib import Path

from runner import Context, flow, task


def work() -> bool:
    """Do a step of work: whether that was enough."""
    with Path(os.environ["WORK"]).open("w") as file:
        file.write(".")
    threading.Event().wait(0.05)
    return Path(os.environ["WORK"]).with_name("enough").exists()


@task
def asking(ctx: Context) -> None:
    while not work():
        ctx.variables.set("k", "v")


@task
def waiting() -> None:
    while not work():
        pass


@task
def alone(ctx: Context) -> None:
    """Write down when it runs, as which try."""
    with Path(os.environ["WORK"]).with_name("lives").open("a", buffering=1) as lives:
        while True:
            lives.write(f"{ctx.try_number} {time.monotonic()}\n")
            if work():
                return


@flow
def held() -> None:
    asking()
    waiting()
    alone()
