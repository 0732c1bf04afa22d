"""The flows that `worker demo` runs."""

import os
import threading
from pathlib import Path

from runner.authoring import flow, shell, task
from runner.context import Context
from runner.outcomes import Skip
from runner.settings import descriptors

STEPS = 60
PACE_S = 0.02


@task
def numbers() -> list[int]:
    """Give a list to run a task for each item of."""
    return [1, 2, 3, 4]


@task
def square(number: int) -> int:
    """Run once for each number."""
    return number * number


@task
def total(squares: list[int]) -> int:
    """Take what all of them returned."""
    return sum(squares)


@task(retries=1, retry_delay=0.2)
def shaky(ctx: Context) -> str:
    """Fail on the first try and succeed on the second."""
    if ctx.try_number == 1:
        raise ConnectionError("the first try always fails")
    return "well again"


@task
def not_today() -> None:
    """Skip itself."""
    raise Skip("there is nothing to do today")


@flow
def tour() -> None:
    """One of each: success, a mapped task, a retry, a skip, and a shell script."""
    total(square.map(numbers()))
    shaky()
    not_today()
    shell("greeting", "echo hello from a shell")


@task
def poison() -> None:
    """Say what no supervisor can read, on the channel of frames."""
    frames, _ = descriptors()
    os.write(frames, b"\xff\xff\xff\xff")
    raise Skip("nobody hears this")


@task
def bystander() -> str:
    """Run beside it."""
    return "unharmed"


@flow
def guests() -> None:
    """A task that breaks the protocol, and one beside it that does not."""
    poison()
    bystander()


def work_until(folder: str, name: str, mark: str) -> None:
    """Say that it has begun, and work until what it waits for has happened."""
    Path(folder, name).write_text(".")
    while not Path(folder, mark).exists():
        threading.Event().wait(PACE_S)


@task
def brief(folder: str, seconds: float) -> None:
    """End while the server is away."""
    work_until(folder, "brief", "gone")
    threading.Event().wait(seconds)
    Path(folder, "ended").write_text(".")


@task
def lasting(folder: str, seconds: float, ctx: Context) -> str:
    """Ask while the server is away, and get an answer when it is back."""
    work_until(folder, "lasting", "gone")
    threading.Event().wait(seconds)
    answer: str = ctx.variables.get("greeting", default="hello")
    return answer


@flow
def away(folder: str, seconds: float) -> None:
    """Two tasks that run when their server goes."""
    brief(folder, seconds)
    lasting(folder, seconds)


@task
def orphan(folder: str) -> int:
    """Live on when the worker is killed, and return when another has taken over."""
    work_until(folder, "orphan", "adopted")
    return os.getpid()


SCRIPT = """
folder=$(echo "$TASKHAND_ARG_FOLDER" | tr -d '"')
echo . >"$folder/script"
while [ ! -e "$folder/adopted" ]; do sleep 0.05; done
"""


@flow
def orphans(folder: str) -> None:
    """Two children that outlive the worker that started them."""
    orphan(folder)
    shell("script", SCRIPT, args={"folder": folder})


@task
def count(tally: str, step_s: float, ctx: Context) -> int:
    """Count slowly, with a checkpoint for each step; the tally's length is the work done by all attempts together."""
    step: int = ctx.checkpoint.get("step", 0)
    while step < STEPS:
        step += 1
        with Path(tally).open("a") as file:
            file.write(".")
        ctx.save({"step": step}, progress=step)
        threading.Event().wait(step_s)  # stands for work
    return step


@flow
def job(tally: str, step_s: float) -> None:
    """A job that is longer than the life of its worker."""
    count(tally, step_s)
