"""The flow of the first proof: count, one step of work at a time, and save each ten."""

import os
import threading

from runner import Context, flow, task

EACH = 10


@task(resume_limit=3)
def count(ctx: Context) -> int:
    step: int = ctx.checkpoint.get("step", 0)
    work = os.open(os.environ["WORK"], os.O_WRONLY)
    goal = int(ctx.params.get("to", 1000))
    while step < goal:
        threading.Event().wait(0.001)
        os.write(work, b".")
        step += 1
        if step % EACH == 0:
            ctx.save({"step": step}, progress=step)
    return step


@task
def after(counted: int) -> int:
    return counted


@flow
def counting() -> None:
    after(count())
