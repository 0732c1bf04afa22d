"""`worker demo`: the tour."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click
import msgspec

from supervisor.programs import ProgramFailed
from supervisor.touring import LEISURELY, QUICK, Pace, Seen, Tour

FLOWS = "runner.tour"


@click.command()
@click.option("--quick", is_flag=True, help="The same, without the time to look at it.")
@click.option("--keep", is_flag=True, help="Leave the folder with its database and logs, and say where it is.")
@click.option("--json", "as_json", is_flag=True, help="The claims as one JSON object.")
def command(*, quick: bool, keep: bool, as_json: bool) -> None:
    """See in a minute what Taskhand does.

    Starts a server and workers on this machine, in a folder of their own; runs a flow; lets a task break the protocol;
    kills the server while tasks run, and starts it again; kills a worker, and has another adopt its tasks; stops that
    one in the middle of a job, and has a third finish it. Then compares what is claimed with what the server's record
    says. A terminal shows it live, a pipe gets lines.

    Exit codes: 0 every claim was true; 1 one was not; 2 the demo could not be given.
    """
    spec = find_spec(FLOWS)
    if spec is None or spec.origin is None:
        raise click.ClickException(f"{FLOWS} is not installed")
    folder = Path(tempfile.mkdtemp(prefix="taskhand-demo-"))
    try:
        with tour(folder, spec.origin, QUICK if quick else LEISURELY, quiet=as_json) as given:
            seen = given.run()
    except ProgramFailed as error:
        click.echo(f"demo: {error}", err=True)
        raise SystemExit(2) from error
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        click.echo(msgspec.json.encode({"claims": seen}))
    else:
        show(seen)
    if keep:
        click.echo(f"\nDatabase and logs: {folder}", err=as_json)
    if not all(row.true for row in seen):
        raise SystemExit(1)


@contextmanager
def tour(folder: Path, flows: str, pace: Pace, *, quiet: bool) -> Iterator[Tour]:
    """Give the tour with whoever watches it: a live view, lines, or nobody."""
    if sys.stdout.isatty() and not quiet:
        from supervisor.viewing import View  # noqa: PLC0415 - rich, which only a terminal pays for

        with View(folder) as view:
            yield Tour(folder, flows, view.tell, pace, view.show)
        return
    began = time.monotonic()

    def tell(text: str) -> None:
        click.echo(f"{time.monotonic() - began:5.1f} s  {text}")

    yield Tour(folder, flows, (lambda _: None) if quiet else tell, pace)


def show(seen: list[Seen]) -> None:
    """Print what was claimed beside what was observed."""
    width = max(len(row.claim) for row in seen)
    click.echo()
    for row in seen:
        mark = click.style("true ", fg="green") if row.true else click.style("FALSE", fg="red")
        click.echo(f"{mark}  {row.claim:<{width}}  {row.observed}")
