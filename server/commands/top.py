"""`worker top`: what runs and what waits, as it changes. A terminal gets a live view, a pipe one picture of lines."""

import select
from datetime import UTC, datetime
from typing import Any

import click
from msgspec import Struct, field

from protocol.http.people import InstancePage, InstanceSummary, RunPage, RunSummary
from protocol.states import FINISHED, TaskInstanceState
from server.commands.calling import PeopleApi, Uncalled, people_api, with_server
from server.commands.showing import as_json as show_json
from server.commands.showing import counts_of, done_of, drawn, in_terminal, name_of, plain, run_of, span, took

RUNS = 10
UNFINISHED_RUNS = 100
"""Their counts are added up; who has more of them unfinished looks at the newest."""
_S = TaskInstanceState
ORDER = (
    _S.RUNNING,
    _S.RESTARTING,
    _S.AWAITING_INPUT,
    _S.CHECKPOINTED,
    _S.DEFERRED,
    _S.UP_FOR_RETRY,
    _S.UP_FOR_RESCHEDULE,
    _S.QUEUED,
    _S.SCHEDULED,
)  # fmt: skip - the states that are not finished: what happens first, what only waits its turn last
LONG = 36
RUN_COLUMNS = ("RUN", "STATE", "DONE", "TASK INSTANCES")
COLUMNS = ("TASK INSTANCE", "STATE", "TRY", "TOOK", "HEARD", "PROGRESS", "WORKER", "WHY")


class Picture(Struct, frozen=True):
    """What there was to see at one moment."""

    at: datetime
    server: str
    counts: dict[str, int] = field(default_factory=dict)
    """Of unfinished task instances, by state."""
    runs: list[RunSummary] = field(default_factory=list)
    """The unfinished, and then the newest others."""
    instances: list[InstanceSummary] = field(default_factory=list)
    """Unfinished ones, what runs first."""


@click.command()
@click.option("--once", is_flag=True, help="One picture, and end: what a pipe gets anyway.")
@click.option("--every", default=1.0, show_default=True, type=click.FloatRange(0.1), help="Seconds between two looks.")
@click.option("--limit", default=40, show_default=True, type=click.IntRange(1, 1000), help="Task instances at most.")
@with_server
def command(*, once: bool, every: float, limit: int, url: str | None, token: str | None, as_json: bool) -> None:
    """Show the runs and the task instances that run or wait, and how far they are, until Ctrl-C.

    In a pipe, with --once or with --json it is one picture: lines that begin with `run` or `task`, or one object.
    When the server goes away, the live view says so and goes on when it is back.

    Exits 0; 2 when the server could not be asked in the first place.
    """
    api = people_api(url, token)
    picture = look(api, limit)
    if as_json:
        show_json(picture)
    elif once or not in_terminal():
        _lines(picture)
    else:
        _live(api, picture, every, limit)


def look(api: PeopleApi, limit: int) -> Picture:
    """Ask: first which states there is anything in, then for what is in them."""
    unfinished = api.get("/runs", RunPage, state="running", limit=UNFINISHED_RUNS).runs
    newest = api.get("/runs", RunPage, limit=RUNS).runs
    counts: dict[str, int] = {}
    for run in unfinished:
        for state, count in run.counts.items():
            if state not in FINISHED:
                counts[state] = counts.get(state, 0) + count
    instances: list[InstanceSummary] = []
    for state in (state for state in ORDER if counts.get(state) and len(instances) < limit):
        page = api.get("/task-instances", InstancePage, state=state.value, limit=limit - len(instances))
        instances += page.instances
    others = [
        run for run in newest if all(run.run_id != each.run_id or run.dag_id != each.dag_id for each in unfinished)
    ]
    counts = {state.value: counts[state] for state in ORDER if state in counts}
    return Picture(datetime.now(UTC), api.url, counts, [*unfinished, *others][:RUNS], instances)


def _run_row(run: RunSummary) -> tuple[str, ...]:
    done, total = done_of(run)
    return f"{run.dag_id}/{run.run_id}", run.state, f"{done}/{total}", counts_of(run)


def _row(each: InstanceSummary, now: datetime) -> tuple[object, ...]:
    runs = each.state == TaskInstanceState.RUNNING
    heard = span(now - each.last_heartbeat_at) + " ago" if runs and each.last_heartbeat_at else "-"
    progress = "-" if each.checkpoint_progress is None else f"{each.checkpoint_progress:g}"
    spent = took(each) if runs else "-"
    return name_of(each), each.state, each.try_number, spent, heard, progress, each.worker or "-", each.reason or ""


def summary(picture: Picture) -> str:
    """Say it in one line."""
    return ", ".join(f"{count} {state}" for state, count in picture.counts.items()) or "nothing to do"


def _lines(picture: Picture) -> None:
    """Lines, each with a first word that says what it is about."""
    for run in picture.runs:
        plain(("run", *_run_row(run)))
    for each in picture.instances:
        plain(("task", *_row(each, picture.at)))


def _live(api: PeopleApi, picture: Picture, every: float, limit: int) -> None:
    from rich.live import Live  # noqa: PLC0415 - only a live view pays for it

    fault = ""
    try:
        with Live(_drawn(picture, fault), screen=True, auto_refresh=False) as live:
            while True:
                select.select([], [], [], every)
                try:
                    picture, fault = look(api, limit), ""
                except Uncalled as error:
                    fault = error.message
                live.update(_drawn(picture, fault), refresh=True)
    except KeyboardInterrupt:
        pass


def _brief(run: str) -> str:
    """Shorten a long name in the middle: its flow and its end tell runs apart."""
    return run if len(run) <= LONG else f"{run[: LONG // 2]}…{run[-LONG // 2 :]}"


def _drawn(picture: Picture, fault: str) -> Any:  # noqa: ANN401 - what rich draws
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    head = Text.assemble(
        ("taskhand", "bold"), f" {picture.server}  {picture.at.astimezone():%H:%M:%S}  ", (summary(picture), "bold")
    )
    said = Text(f"{fault}; trying again", style="red") if fault else Text("Ctrl-C ends this view", style="dim")
    runs = drawn(RUN_COLUMNS, [_run_row(run) for run in picture.runs])
    rows = [_row(each, picture.at) for each in picture.instances]
    named = [name_of(each).replace(run_of(each), _brief(run_of(each)), 1) for each in picture.instances]
    tasks = drawn(COLUMNS, [(name, *row[1:]) for name, row in zip(named, rows, strict=True)])
    return Group(head, said, Text(), runs, Text(), tasks)
