"""`worker outbox`: what this machine's worker has not told the server yet. Reads the journal, and changes nothing."""

from datetime import UTC, datetime
from uuid import UUID

import click
import msgspec
from msgspec import Struct

from supervisor.commands.settings_options import BadSettings, loaded, with_settings
from supervisor.journal import Entry
from supervisor.journal_files import Holder, JournalError, folder_of, holder, read
from supervisor.keeper.identity import GoneError, start_time


class Line(Struct, frozen=True):
    """One attempt. `state` is what is to be told; None for one without an outcome yet."""

    ti_id: UUID
    name: str | None
    try_number: int | None
    state: str | None
    row: str | None
    """Of the truth table; None for the task's own word."""
    since: datetime | None
    pid: int | None


@click.command()
@with_settings
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(*, config: str | None, show_settings: bool, api: str | None, state_dir: str | None, as_json: bool) -> None:
    """List the outcomes that the server is still to be told, and the attempts that run or ran without one.

    Where no worker holds the state directory, the next one delivers them, and adopts what runs.

    Exit codes: 0 nothing is undelivered; 1 something is; 2 the journal cannot be read.
    """
    settings = loaded(
        config, {"api.url": api, "worker.state_dir": state_dir}, show=show_settings, as_json=as_json
    ).settings
    folder = folder_of(settings.state_dir)
    try:
        found, held = read(folder), holder(folder)
    except JournalError as error:
        raise BadSettings(str(error)) from error
    entries = found.story.entries.values()
    # An attempt without an outcome is lost when it has neither a worker nor a process, and that is still to be told.
    running = [line_of(entry) for entry in entries if entry.owed is None and (held is not None or lives(entry))]
    owed = [line for line in map(line_of, entries) if line not in running]
    if as_json:
        told = {"worker": held, "undelivered": owed, "running": running, "damage": found.damage}
        click.echo(msgspec.json.encode(told).decode())
    else:
        show(owed, running, held)
    raise SystemExit(int(bool(owed)))


def lives(entry: Entry) -> bool:
    """Whether its process is there: its keeper holds it, and the next worker adopts it."""
    try:
        return entry.process is not None and start_time(entry.process[0]) == entry.process[1]
    except GoneError:
        return False


def line_of(entry: Entry) -> Line:
    """Give an attempt as it is listed. The token is not among it."""
    began, owed, process = entry.began, entry.owed, entry.process
    at = owed.at if owed is not None else None if began is None else began.at
    return Line(
        ti_id=UUID(bytes=entry.ti),
        name=None if began is None else began.name,
        try_number=None if began is None else began.try_number,
        state=None if owed is None else owed.state,
        row=None if owed is None else owed.row or None,
        since=None if at is None else datetime.fromtimestamp(at, UTC),
        pid=None if process is None else process[0],
    )


def show(owed: list[Line], running: list[Line], held: Holder | None) -> None:
    """Print them as lines."""
    for line in owed:
        since = "?" if line.since is None else f"{line.since:%Y-%m-%d %H:%M:%S}"
        click.echo(f"{line.ti_id}  {line.name or '?'}  {line.state or 'lost'}  since {since}")
    who = "no worker runs" if held is None else f"worker {held.name} (pid {held.pid})"
    click.echo(f"{len(owed)} undelivered, {len(running)} running; {who}", err=True)
