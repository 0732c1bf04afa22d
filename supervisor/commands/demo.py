"""`worker demo`: the tour."""

import shutil
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import click

from supervisor.touring import DemoFailed, Seen, Tour

FLOWS = "runner.tour"


@click.command()
@click.option("--keep", is_flag=True, help="Leave the folder with its database and logs, and say where it is.")
def command(*, keep: bool) -> None:
    """See in half a minute what Taskhand does.

    Starts a server and workers on this machine, in a folder of their own; runs a flow; lets a task break the protocol;
    stops a worker in the middle of a job and has another finish it. Then compares what is claimed with what the
    server's record says.

    Exit codes: 0 every claim was true; 1 one was not; 2 the demo could not be given.
    """
    spec = find_spec(FLOWS)
    if spec is None or spec.origin is None:
        raise click.ClickException(f"{FLOWS} is not installed")
    began = time.monotonic()

    def tell(text: str) -> None:
        click.echo(f"{time.monotonic() - began:5.1f} s  {text}")

    folder = Path(tempfile.mkdtemp(prefix="taskhand-demo-"))
    try:
        seen = Tour(folder, spec.origin, tell).run()
    except DemoFailed as error:
        click.echo(f"demo: {error}", err=True)
        raise SystemExit(2) from error
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    tell("done")
    show(seen)
    if keep:
        click.echo(f"\nDatabase and logs: {folder}")
    if not all(row.true for row in seen):
        raise SystemExit(1)


def show(seen: list[Seen]) -> None:
    """Print what was claimed beside what was observed."""
    width = max(len(row.claim) for row in seen)
    click.echo()
    for row in seen:
        mark = click.style("true ", fg="green") if row.true else click.style("FALSE", fg="red")
        click.echo(f"{mark}  {row.claim:<{width}}  {row.observed}")
