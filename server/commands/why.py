"""`worker why`: the story of a task instance."""

import click

from protocol.http.people import Timeline
from server.commands.calling import names, path, people_api, resolve, with_server
from server.commands.showing import as_json as show_json
from server.commands.showing import moment, name_of, state_word, table, took


@click.command()
@click.argument("ti", metavar="TI", shell_complete=names)
@with_server
def command(*, ti: str, url: str | None, token: str | None, as_json: bool) -> None:
    """Say why a task instance is where it is: its attempts, and what was told to whom.

    TI is flow/run/task[map], flow/task of the newest run, or (a prefix of) an attempt's id. Exits 0; 2 when there is no
    such task instance.
    """
    api = people_api(url, token)
    story = api.get(path("task-instances", resolve(api, ti).id, "timeline"), Timeline)
    if as_json:
        show_json(story)
        return
    now = story.instance
    click.echo(f"{name_of(now)} {state_word(now.state)}{f': {now.reason}' if now.reason else ''}")
    rows = [
        (
            each.try_number,
            each.state,
            moment(each.start_date),
            took(each),
            each.worker or "-",
            each.id,
            each.reason or "",
        )
        for each in story.attempts
    ]
    table(("TRY", "STATE", "STARTED", "TOOK", "WORKER", "ATTEMPT", "WHY"), rows)
    events = [
        (moment(event.at), event.try_number, event.what, event.why, _detail(event.detail)) for event in story.events
    ]
    table(("AT", "TRY", "WHAT", "WHY", "DETAIL"), events)


def _detail(detail: dict[str, object] | None) -> str:
    return " ".join(f"{key}={value}" for key, value in (detail or {}).items())
