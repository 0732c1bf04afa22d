"""The first flow to run: a mapped task, a retry that succeeds on the second try, a skip, and a failure.

    worker up examples/hello.py
    worker submit examples/hello.py:hello --wait

The flow fails in the end, because one of its tasks does; `worker why` tells the story of each attempt.
"""

from runner import Context, Fail, Skip, flow, task


@task
def names() -> list[str]:
    """Give a list to run a task for each item of."""
    return ["Ada", "Grace", "Margaret"]


@task
def greet(name: str, ctx: Context) -> str:
    """Runs once for each name."""
    print(f"hello, {name}!")
    ctx.log.info("greeted", name=name, number=ctx.map_index)
    return f"hello, {name}!"


@task(retries=1, retry_delay=0.5)
def shaky(ctx: Context) -> int:
    """Fails on its first try and succeeds on its second."""
    if ctx.try_number == 1:
        raise ConnectionError("the first try always fails")
    return ctx.try_number


@task
def not_today() -> None:
    """Skips itself."""
    raise Skip("there is nothing to do today")


@task(retries=5)
def broken() -> None:
    """Fails for good, whatever retries are left."""
    raise Fail("this one cannot be helped")


@task
def summary(greetings: list[str], tries: int) -> str:
    """Take what all the greetings returned, as a list, and what the shaky one did."""
    return f"{len(greetings)} greetings, and {tries} tries for the shaky one"


@flow
def hello() -> None:
    """Draw the flow: a call of a task is a node, and what it is given are the arrows."""
    summary(greet.map(names()), shaky())
    not_today()
    broken()
