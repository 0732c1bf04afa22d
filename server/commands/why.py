"""`worker why`: the story of a task instance."""

from collections.abc import Iterable, Iterator
from itertools import groupby

import click

from protocol.http.people import Timeline, TimelineEvent
from server.commands.calling import names, path, people_api, resolve, with_server
from server.commands.showing import as_json as show_json
from server.commands.showing import moment, name_of, state_word, table, took

SAVED = "checkpoint"


@click.command()
@click.argument("ti", metavar="TI", shell_complete=names)
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 1000), help="The last ones only.")
@click.option("--offset", default=0, type=click.IntRange(0), help="Leave out so many of the newest.")
@with_server
def command(*, ti: str, limit: int, offset: int, url: str | None, token: str | None, as_json: bool) -> None:
    """Say why a task instance is where it is: its attempts, and what was told to whom.

    TI is flow/run/task[map], flow/task of the newest run, or (a prefix of) an attempt's id. Exits 0; 2 when there is no
    such task instance.
    """
    api = people_api(url, token)
    where = path("task-instances", resolve(api, ti).id, "timeline")
    story = api.get(where, Timeline, limit=limit, offset=offset)
    _say_what_is_left_out(story, offset)
    if as_json:
        show_json(story)
        return
    now = story.instance
    click.echo(f"{name_of(now)} {state_word(now.state)}{f': {now.reason}' if now.reason else ''}")
    if story.waits:
        click.echo(story.waits)
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
        (moment(event.at), event.try_number, event.what, why, _detail(event.detail))
        for event, why in _folded(story.events)
    ]
    table(("AT", "TRY", "WHAT", "WHY", "DETAIL"), events)


def _say_what_is_left_out(story: Timeline, offset: int) -> None:
    """Say on stderr what this is not all of, and how to get what came before it."""
    parts = [
        f"{len(given)} of {total} {what}"
        for what, given, total in (
            ("attempts", story.attempts, story.total_attempts),
            ("events", story.events, story.total_events),
        )
        if len(given) < total
    ]
    if parts:
        older = offset + max(len(story.attempts), len(story.events))
        more = older < max(story.total_attempts, story.total_events)
        click.echo(f"these are {' and '.join(parts)}{f'; --offset {older} gives older ones' if more else ''}", err=True)


def _folded(events: Iterable[TimelineEvent]) -> Iterator[tuple[TimelineEvent, str]]:
    """Give each event with its words. An attempt's saves in a row are one line: the last, which says from where on."""
    for (what, _), together in groupby(events, lambda event: (event.what, event.attempt)):
        run = list(together)
        if what == SAVED and len(run) > 1:
            first, last = ((event.detail or {}).get("seq") for event in (run[0], run[-1]))
            yield run[-1], f"records {first} to {last}"
        else:
            yield from ((event, event.why) for event in run)


def _detail(detail: dict[str, object] | None) -> str:
    return " ".join(f"{key}={value}" for key, value in (detail or {}).items())
