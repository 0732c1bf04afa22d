"""`worker ps`: what runs, ran and waits."""

from itertools import groupby

import click

from protocol.http.people import InstancePage, InstanceSummary, RunPage
from protocol.messages.runs import DagRunState
from protocol.states import TaskInstanceState
from server.commands.calling import Uncalled, people_api, with_server
from server.commands.showing import as_json as show_json
from server.commands.showing import counts_of, in_terminal, moment, name_of, plain, run_of, table, took


@click.command()
@click.option("--runs", "of_runs", is_flag=True, help="Runs instead of task instances.")
@click.option("--undelivered", is_flag=True, help="What this machine's worker has not told yet: `worker outbox`.")
@click.option("--flow", help="Of this flow only.")
@click.option("--run", help="Of this run only.")
@click.option("--task", help="Of this task only.")
@click.option("--worker", help="Had by this worker last.")
@click.option("--state", help="In this state only.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option("--offset", default=0, type=click.IntRange(0), help="Leave out so many of the newest.")
@with_server
@click.pass_context
def command(
    context: click.Context,
    *,
    of_runs: bool,
    undelivered: bool,
    flow: str | None,
    run: str | None,
    task: str | None,
    worker: str | None,
    state: str | None,
    limit: int,
    offset: int,
    url: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """List task instances, or runs, the newest first.

    Exits 0, also when there are none; 2 when the server could not be asked.
    """
    if undelivered:
        _outbox(context, as_json=as_json)
        return
    _known(state, of_runs=of_runs)
    api = people_api(url, token)
    if of_runs:
        runs = api.get("/runs", RunPage, flow=flow, run=run, state=state, limit=limit, offset=offset)
        show_json(runs) if as_json else _show_runs(runs)
        return
    which = {"flow": flow, "run": run, "task": task, "worker": worker, "state": state}
    page = api.get("/task-instances", InstancePage, **which, limit=limit, offset=offset)
    show_json(page) if as_json else _show_instances(page)


def _outbox(context: click.Context, *, as_json: bool) -> None:
    """Call the worker's own command, found by its name: the server's packages and the worker's do not import."""
    group = context.parent
    assert group is not None  # noqa: S101 - a command of the group
    assert isinstance(group.command, click.Group)  # noqa: S101 - as above
    outbox = group.command.get_command(group, "outbox")
    assert outbox is not None  # noqa: S101 - the table has it
    with outbox.make_context("outbox", ["--json"] if as_json else [], parent=group) as called:
        outbox.invoke(called)


def _known(state: str | None, *, of_runs: bool) -> None:
    states = [known.value for known in (DagRunState if of_runs else TaskInstanceState)]
    if state is not None and state not in states:
        raise Uncalled(f"there is no state {state!r}; there are {', '.join(states)}")


def _show_runs(page: RunPage) -> None:
    rows = [
        (
            f"{run.dag_id}/{run.run_id}",
            run.state,
            moment(run.start_date),
            moment(run.end_date),
            counts_of(run),
        )
        for run in page.runs
    ]
    table(("RUN", "STATE", "STARTED", "ENDED", "TASK INSTANCES"), rows)


def _show_instances(page: InstancePage) -> None:
    """Show them by their runs where a person looks: what all lines of a run begin with is said once."""
    if not in_terminal():
        for each in page.instances:
            plain((name_of(each), *_row(each)))
        return
    for run, instances in groupby(page.instances, run_of):
        click.secho(run, bold=True)
        rows = [(name_of(each).removeprefix(f"{run}/"), *_row(each)) for each in instances]
        table(
            ("TASK", "STATE", "TRY", "STARTED", "TOOK", "WORKER", "WHY", "ID"),
            [(*row[:6], row[7], row[6]) for row in rows],
        )
    if page.total > len(page.instances):
        click.secho(f"{page.total - len(page.instances)} more: --limit, --offset", dim=True)


def _row(each: InstanceSummary) -> tuple[object, ...]:
    started = moment(each.start_date)
    return each.state, each.try_number, started, took(each), each.worker or "-", each.id, each.reason or ""
