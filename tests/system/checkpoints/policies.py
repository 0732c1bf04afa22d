"""Tasks whose checkpoints go wrong, one way each. Each says in a file where it began."""

import itertools
import os
import resource
import signal
import threading
from pathlib import Path

from runner import Context, flow, task


def told(ctx: Context, text: object) -> None:
    with Path(os.environ["WORK"]).with_name("told").open("a") as file:
        file.write(f"{ctx.task_id} {text}\n")
    with Path(os.environ["WORK"]).open("w") as work:
        work.write(".")


def blob(step: int) -> Path:
    path = Path(f"file-{step}")
    path.write_text(f"step {step}" * 100)
    return path


@task
def poisoned(ctx: Context) -> str:
    told(ctx, ctx.checkpoint.get("step", 0))
    if ctx.checkpoint:
        raise ValueError("this record breaks whoever reads it")
    if ctx.try_number > 2:
        return "well"
    ctx.save({"step": 1}, progress=1)
    raise ValueError("later")


@task
def changed(ctx: Context) -> str:
    told(ctx, ctx.checkpoint.get("step", 0))
    if ctx.params.get("never"):
        return "CODE"
    ctx.save({"step": 1}, progress=1)
    if ctx.try_number == 1 and "CODE" == "CO" + "DE":
        threading.Event().wait()
    return "CODE"


@task
def given() -> str:
    return Path(os.environ["WORK"]).with_name("input").read_text()


@task
def fed(ctx: Context, what: str) -> str:
    told(ctx, f"{what} {ctx.checkpoint.get('what')}")
    ctx.save({"what": what}, progress=1)
    if ctx.try_number == 1 and what == "one":
        threading.Event().wait()
    return what


@task
def filed(ctx: Context) -> str:
    step = ctx.checkpoint.get("step", 0)
    read = ctx.checkpoint.blob
    told(ctx, f"{step} {read.read_text()[:6] if read else None}")
    if ctx.params.get("stop_at", 3) <= step or (ctx.checkpoint.note and step == 0):
        return "done"
    for number in range(step + 1, 4):
        ctx.save({"step": number}, progress=number, blob=blob(number))
    told(ctx, "saved")
    threading.Event().wait()
    return "not reached"


@task
def full(ctx: Context) -> str:
    told(ctx, ctx.checkpoint.get("step", 0))
    if ctx.checkpoint:
        return "from the record that stood"
    ctx.save({"step": 1}, blob=blob(1))
    Path("big").write_bytes(b"x" * 200_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    ctx.save({"step": 2}, blob="big")
    return "not reached"


@task
def deaf(ctx: Context) -> str:
    """Airflow's case: a handler of the task's own that returns, and a task that goes on."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    told(ctx, "begun")
    if ctx.params.get("goes_on"):
        threading.Event().wait()
    return "finished"


@task
def hasty(ctx: Context) -> None:
    """Hears of its stop from a save alone, and so never why."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for step in itertools.count(ctx.checkpoint.get("step", 0) + 1):
        ctx.save({"step": step}, progress=step)


@task
def mute() -> None:
    """Asks nothing, and hangs."""
    threading.Event().wait()


@flow
def policies() -> None:
    poisoned()
    changed()
    fed(given())
    filed()
    full()
    deaf()
    hasty()
    mute()
