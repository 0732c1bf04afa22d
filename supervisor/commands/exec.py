"""`worker exec`: one workload, and then out. What Kubernetes and the like start, one pod per task."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from protocol.http.workloads import ExecuteTask
from supervisor.commands.settings_options import BadSettings, loaded, with_settings
from supervisor.keeper.process import KeeperError
from supervisor.outcome import Outcome
from supervisor.places import PlaceError
from supervisor.records import LINE, NEVER_ASKED, Record, is_owed, line_of
from supervisor.running import run, work
from supervisor.settings import Settings
from supervisor.sources import BadWorkload, ListSource, read

REPORTED, REFUSED, TERMINATED, UNTOLD = 0, 3, 4, 5


@click.command()
@with_settings
@click.option("--json-path", type=click.Path(path_type=Path), help="The workload's file.")
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

    A server that is away is waited for. SIGTERM (or SIGINT) asks it to stop, as a worker does. When its process is gone
    then, and the server does not answer, it is tried for `graces.short_s` (5 s) more; then what it came to is left in
    the state directory, and the next worker there tells it (`worker outbox` lists it). With --json this is
    `undelivered`, and whatever happens there is one object; where nothing could be carried out `error` says why.

    Exit codes: 0 its outcome was reported, whatever it was; 2 the call could not be carried out; 3 the server refused
    to let it start; 4 the server gave it up while it ran, and nothing was to be reported; 5 it could not be reported,
    or it was stopped before it could begin.
    """
    given: list[ExecuteTask] = []
    try:
        flags: dict[str, object] = {"api.url": api, "worker.state_dir": state_dir}
        settings = loaded(config, flags, show=show_settings, as_json=as_json).settings
        given.append(_workload(json_path, json_string))
        record, fault = _carry_out(settings, given[0])
    except click.ClickException as error:
        if as_json:
            click.echo(nothing(given, error.message))
        raise
    if as_json:
        click.echo(nothing(given, fault) if record is None else line(record))
    leave(UNTOLD if record is None else code_of(record))


def _workload(path: Path | None, text: str | None) -> ExecuteTask:
    if (path is None) == (text is None):
        raise click.UsageError("one of --json-path and --json-string says what the workload is")
    try:
        return read(path.read_bytes() if path is not None else text or "")
    except OSError as error:
        raise BadSettings(f"--json-path {path}: {error.strerror}") from error
    except BadWorkload as error:
        raise BadSettings(f"not a workload: {error}") from error


def _carry_out(settings: Settings, workload: ExecuteTask) -> tuple[Record | None, str]:
    """Give its record, and what was complained of last."""
    records: list[Record] = []
    faults = ["it was stopped before it could begin"]

    def complain(text: str) -> None:
        faults.append(text)
        click.echo(f"worker: {text}", err=True)

    try:
        run(work(settings, ListSource([workload]), records.append, complain), fast=False)
    except (KeeperError, PlaceError, ValueError) as error:
        raise BadSettings(str(error)) from error
    return next(iter(records), None), faults[-1]


def nothing(given: list[ExecuteTask], why: str) -> str:
    """Give the object of one that nothing came of."""
    found: dict[str, object] = dict.fromkeys(LINE) | {"reported": False, "undelivered": False, "error": why}
    if given:
        found["ti_id"] = given[0].ti.id
    return msgspec.json.encode(found).decode()


def leave(code: int) -> NoReturn:
    """End here: all that was opened is closed, and to take the interpreter apart as well is a fifth of a cold start."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def code_of(record: Record) -> int:
    """Give the exit code for how it ended."""
    if record.reported:
        return REPORTED
    if record.row == NEVER_ASKED.row:
        return UNTOLD
    codes = {Outcome.NOT_STARTED: REFUSED, Outcome.SERVER_TERMINATED: TERMINATED}
    return codes.get(record.outcome, UNTOLD)


def told(record: Record) -> str:
    """Give a record as one line for people."""
    kind = "" if record.kind is None else f" ({record.kind}: {record.why})" if record.why else f" ({record.kind})"
    owed = " (the server is still to be told)" if is_owed(record) else ""
    return f"{record.name} {record.outcome}{kind}{owed}  {record.ti_id}"


def line(record: Record) -> str:
    """Give a record as one line of JSON."""
    return msgspec.json.encode(line_of(record)).decode()
