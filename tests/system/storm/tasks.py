"""The flow of the storm: tasks of every temper. Each says in one ledger when it began, did a step, and was done."""

import os
import subprocess
import sys
import threading

from runner import Context, Skip, flow, shell, task

MANY = 100_000
"""Retries and resumes: whatever the storm does, a task comes to its own end."""


def note(word: str, ctx: Context) -> None:
    """Append a line; appends of one write do not mix."""
    line = f"{word} {ctx.run_id}/{ctx.task_id}/{ctx.map_index} {ctx.ti_id} {os.getpid()}\n"
    with open(os.environ["STORM_LEDGER"], "ab", buffering=0) as ledger:  # noqa: PTH123 - unbuffered
        ledger.write(line.encode())


def work(ctx: Context, steps: int) -> None:
    note("began", ctx)
    for _ in range(steps):
        threading.Event().wait(0.01)
        note("step", ctx)


@task(retries=MANY, retry_delay=0.05)
def quick(ctx: Context) -> list[int]:
    work(ctx, 0)
    note("done", ctx)
    return [1, 2, 3]


@task(retries=MANY, retry_delay=0.05)
def each(item: int, ctx: Context) -> int:
    work(ctx, 10 * item)
    note("done", ctx)
    return item


@task(retries=MANY, retry_delay=0.05, resume_limit=MANY)
def saving(ctx: Context) -> int:
    note("began", ctx)
    for step in range(ctx.checkpoint.get("step", 0) + 1, 61):
        threading.Event().wait(0.01)
        note("step", ctx)
        ctx.save({"step": step}, progress=step)
    note("done", ctx)
    return 60


@task(retries=MANY, retry_delay=0.05)
def flaky(ctx: Context) -> None:
    work(ctx, 5)
    if ctx.try_number == 1:
        raise RuntimeError("the first try fails")
    note("done", ctx)


@task(retries=MANY, retry_delay=0.05)
def skips(ctx: Context) -> None:
    work(ctx, 2)
    raise Skip("as it should")


@task
def fails(ctx: Context) -> None:
    work(ctx, 2)
    raise RuntimeError("as it should")


@task(retries=MANY, retry_delay=0.05)
def family(ctx: Context) -> None:
    """Leave a process behind that has gone into a session of its own: nobody of it may outlive the attempt."""
    work(ctx, 1)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(7200)"], start_new_session=True)
    work(ctx, 5)
    note("done", ctx)


@task(retries=MANY, retry_delay=0.05)
def deaf(ctx: Context) -> None:
    """Do what no SIGTERM interrupts."""
    note("began", ctx)
    subprocess.run(["/bin/sh", "-c", "trap '' TERM; sleep 0.3"], check=True)
    note("done", ctx)


@flow
def storm() -> None:
    each.map(quick())
    saving()
    flaky()
    skips()
    fails()
    family()
    deaf()
    shell("plain", "sleep 0.1", retries=MANY, retry_delay=0.05)
