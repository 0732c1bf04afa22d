"""`worker submit`: draw a flow and have it run."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click
import msgspec

from protocol.flows import FlowGraph
from protocol.http.people import InstancePage, RunSummary, SubmitRun
from protocol.messages.runs import DagRunState
from protocol.states import TaskInstanceState
from server.commands.calling import PeopleApi, Uncalled, conflict_means, path, people_api, with_server
from server.commands.showing import as_json as show_json
from server.commands.showing import counts_of, done_of, in_terminal, name_of, state_word, table, took

OVER = {DagRunState.SUCCESS, DagRunState.FAILED}
WAIT_S = 10.0
WATCHED_S = 0.5


@click.command()
@click.argument("target", metavar="FILE[:FLOW]")
@click.option("--param", "params", multiple=True, metavar="K=V", help="For the flow's parameter; V is JSON, or text.")
@click.option("--conf", metavar="JSON", help="What tasks find as the run's configuration.")
@click.option("--run-id", metavar="ID", help="A name for the run, which makes submitting again safe.")
@click.option("--wait", is_flag=True, help="Wait for the end of the run.")
@with_server
def command(
    *,
    target: str,
    params: tuple[str, ...],
    conf: str | None,
    run_id: str | None,
    wait: bool,
    url: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Draw the flow FLOW of FILE here, and submit its graph.

    Exits 0 when it was submitted (with --wait: when the run succeeded), 1 when the run failed, 2 when it could not be
    submitted.
    """
    given = dict(_pair(param) for param in params)
    graph = draw(target, given)
    submitted = SubmitRun(graph, run_id=run_id, params=given or None, conf=_conf(conf) if conf else None)
    api = people_api(url, token)
    with conflict_means("another --run-id starts another run, and without one the server names it"):
        run = api.post(path("flows", graph.dag_id, "runs"), RunSummary, submitted)
    if not wait:
        show_json(run) if as_json else click.echo(f"{run.dag_id}/{run.run_id}")
        return
    if not as_json:
        click.echo(f"{run.dag_id}/{run.run_id}", err=not in_terminal())
    try:
        with progress() as tell:
            run = follow(api, run, tell)
    except KeyboardInterrupt:
        click.echo(f"the run goes on: `worker top`, `worker ps --run {run.run_id}`", err=True)
        raise
    show_json(run) if as_json else _show(api, run)
    if run.state is not DagRunState.SUCCESS:
        raise SystemExit(1)


def draw(target: str, params: dict[str, Any]) -> FlowGraph:
    """Draw by name: this package must not import the runner's, and only this command needs it."""
    authoring = import_module("runner.authoring")
    try:
        graph: FlowGraph = authoring.load(target).graph(**params)
    except authoring.AuthoringError as error:
        # What is wrong with the call below is wrong with what was asked for, not with a line of ours.
        place = target if error.place.startswith(__file__) else error.place
        raise Uncalled(f"{place}: {error.wrong}") from error
    return graph


def follow(api: PeopleApi, run: RunSummary, tell: Callable[[RunSummary], None] | None) -> RunSummary:
    """Wait for the end, which the server tells; look more often where somebody watches."""
    where = path("flows", run.dag_id, "runs", run.run_id)
    while run.state not in OVER:
        run = api.get(where, RunSummary, wait_s=WAIT_S if tell is None else WATCHED_S)
        if tell is not None:
            tell(run)
    return run


@contextmanager
def progress() -> Iterator[Callable[[RunSummary], None] | None]:
    """Draw how far the run is, on stderr and only where that is a terminal: stdout is for what was asked."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - as above

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("", total=None)

        def tell(run: RunSummary) -> None:
            done, total = done_of(run)
            bar.update(shown, completed=done, total=total, description=counts_of(run))

        yield tell


def _show(api: PeopleApi, run: RunSummary) -> None:
    page = api.get("/task-instances", InstancePage, flow=run.dag_id, run=run.run_id, limit=1000)
    rows = [(name_of(each), each.state, each.try_number, took(each), each.reason or "") for each in page.instances]
    table(("TASK INSTANCE", "STATE", "TRY", "TOOK", "WHY"), rows)
    click.echo(f"{run.dag_id}/{run.run_id} {state_word(run.state)}")
    failed = next((name_of(each) for each in page.instances if each.state == TaskInstanceState.FAILED), None)
    if failed is not None:
        click.echo(f"`worker why {failed}` and `worker logs {failed}` say more", err=True)


def _pair(param: str) -> tuple[str, Any]:
    name, equals, value = param.partition("=")
    if not equals or not name:
        raise Uncalled(f"--param {param!r} is not of the form K=V")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _conf(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise Uncalled(f"--conf is no JSON object: {error}") from None
