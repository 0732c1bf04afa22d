"""A flow for a bad network: many tasks that ask, save and end in different ways, and count their runs in a FIFO."""

import os
from pathlib import Path

from runner import Context, Skip, flow, task


@task
def numbers(ctx: Context) -> list[int]:
    return list(range(ctx.params["count"]))


@task
def odd(ctx: Context, number: int) -> int:
    with Path(os.environ["WORK"]).open("w") as file:
        file.write(".")
    ctx.variables.set(f"number-{number}", str(number))
    ctx.save({"number": number}, progress=1)
    assert ctx.variables.get(f"number-{number}") == str(number)
    if number % 3 == 1:
        raise ValueError("this one fails")
    if number % 3 == 2:
        raise Skip("this one is skipped")
    return number


@flow
def lossy() -> None:
    odd.map(numbers())
