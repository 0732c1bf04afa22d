"""`worker exec`: one workload, and then out. What Kubernetes and the like start, one pod per task."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from supervisor.commands.settings_options import BadSettings, loaded, with_settings
from supervisor.keeper.process import KeeperError
from supervisor.outcome import Outcome
from supervisor.records import Record, line_of
from supervisor.running import run, work
from supervisor.sources import BadWorkload, ListSource, read

REPORTED, REFUSED, TERMINATED, UNTOLD = 0, 3, 4, 5


@click.command()
@with_settings
@click.option("--json-path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The workload's file.")
@click.option("--json-string", metavar="JSON", help="The workload itself.")
@click.option("--json", "as_json", is_flag=True, help="The last line on stdout is one object: how it ended.")
def command(  # noqa: PLR0913 - one parameter for each flag
    *,
    config: str | None,
    show_settings: bool,
    api: str | None,
    state_dir: str | None,
    json_path: Path | None,
    json_string: str | None,
    as_json: bool,
) -> None:
    """Carry out one workload (an ExecuteTask object), and report its outcome.

    Exit codes: 0 its outcome was reported, whatever it was; 2 the call could not be carried out; 3 the server refused
    to let it start; 4 the server gave it up while it ran, and nothing was to be reported; 5 it could not be reported.
    """
    settings = loaded(
        config, {"api.url": api, "worker.state_dir": state_dir}, show=show_settings, as_json=as_json
    ).settings
    if (json_path is None) == (json_string is None):
        raise click.UsageError("one of --json-path and --json-string says what the workload is")
    try:
        workload = read(json_path.read_bytes() if json_path is not None else json_string or "")
    except BadWorkload as error:
        raise BadSettings(f"not a workload: {error}") from error
    records: list[Record] = []
    try:
        run(
            work(
                settings, ListSource([workload]), records.append, lambda text: click.echo(f"worker: {text}", err=True)
            ),
            fast=False,
        )
    except (KeeperError, ValueError) as error:
        raise BadSettings(str(error)) from error
    if as_json and records:
        click.echo(line(records[0]))
    leave(code_of(records[0]) if records else UNTOLD)


def leave(code: int) -> NoReturn:
    """End here: all that was opened is closed, and to take the interpreter apart as well is a fifth of a cold start."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def code_of(record: Record) -> int:
    """Give the exit code for how it ended."""
    if record.reported:
        return REPORTED
    codes = {Outcome.NOT_STARTED: REFUSED, Outcome.SERVER_TERMINATED: TERMINATED}
    return codes.get(record.outcome, UNTOLD)


def told(record: Record) -> str:
    """Give a record as one line for people."""
    kind = "" if record.kind is None else f" ({record.kind}: {record.why})" if record.why else f" ({record.kind})"
    return f"{record.name} {record.outcome}{kind}  {record.ti_id}"


def line(record: Record) -> str:
    """Give a record as one line of JSON."""
    return msgspec.json.encode(line_of(record)).decode()
