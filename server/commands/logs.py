"""`worker logs`: what an attempt wrote."""

import click
import msgspec

from protocol.http.people import InstanceSummary, Timeline
from server.commands.calling import PeopleApi, names, path, people_api, resolve, with_server
from server.commands.showing import in_terminal

WAIT_S = 5.0
"""An end without a word more is noticed when the wait for one is over."""
COLOURS = {"warning": "yellow", "error": "red", "critical": "red", "debug": "bright_black"}


@click.command()
@click.argument("ti", metavar="TI", shell_complete=names)
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows, until the attempt is over.")
@with_server
def command(*, ti: str, follow: bool, url: str | None, token: str | None, as_json: bool) -> None:
    """Print the log of a task instance's attempt.

    TI is flow/run/task[map], flow/task of the newest run, or (a prefix of) an attempt's id. In a terminal, JSON lines
    are made readable. Of one that has not begun, it is the log of the last try that has. Exits 0; 2 when there is no
    such attempt.
    """
    api = people_api(url, token)
    found = resolve(api, ti)
    attempt = found if follow else _begun(api, found)
    where = path("task-instances", attempt.id, "log")
    rest, offset, complete = b"", 0, False
    while not complete:
        chunk, offset, complete = _read(api, where, offset, WAIT_S if follow else 0)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            click.echo(line if as_json or not in_terminal() else _readable(line))
        if not follow and not chunk:
            break
    if rest:
        click.echo(rest)
    if not offset:
        click.echo("nothing is in this log", err=True)


def _begun(api: PeopleApi, found: InstanceSummary) -> InstanceSummary:
    """Give the last try that began: what waits for its next has a log that is empty, and the reason is in another."""
    if found.start_date is not None:
        return found
    attempts = api.get(path("task-instances", found.id, "timeline"), Timeline).attempts
    last = next((each for each in reversed(attempts) if each.start_date is not None), None)
    told = "" if last is None else f"; this is the log of try {last.try_number}, {last.id}"
    click.echo(f"try {found.try_number} has not begun, it is {found.state}{told}", err=True)
    return last or found


def _read(api: PeopleApi, where: str, offset: int, wait_s: float) -> tuple[bytes, int, bool]:
    response = api.raw("GET", where, params={"offset": offset, "wait_s": wait_s})
    headers = response.headers
    return response.content, int(headers["taskhand-log-next"]), headers["taskhand-log-complete"] == "true"


def _readable(line: bytes) -> str:
    try:
        entry = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        text = {key: msgspec.json.decode(value) for key, value in entry.items()}
    except msgspec.MsgspecError:
        return line.decode(errors="replace")
    level = str(text.pop("level", "info"))
    moment, event = str(text.pop("timestamp", "")), str(text.pop("event", ""))
    more = " ".join(f"{key}={value}" for key, value in text.items() if key != "logger")
    return f"{moment[11:23]} {click.style(f'{level:<7}', fg=COLOURS.get(level))} {event} {click.style(more, dim=True)}"
