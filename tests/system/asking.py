"""A flow for the tests of leases and tokens: tasks that go on until they are told that it is enough."""

import os
import threading
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


@flow
def held() -> None:
    asking()
    waiting()
