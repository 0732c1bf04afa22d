"""The flow of `runner.rehearsal`: it does nothing, with everything a small task has."""

from runner import flow, task


@task
def nothing() -> None:
    """Do nothing."""


@flow
def rehearsed() -> None:
    """Be drawn."""
    nothing()
