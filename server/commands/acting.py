"""`worker clear`, `kill`, `resume` and `mark`: what people do to task instances."""

from typing import Any, Literal

import click

from protocol.http.people import Acted, ClearRequest, KillRequest, MarkRequest
from server.commands.calling import conflict_means, names, path, people_api, resolve, with_server
from server.commands.showing import as_json as show_json
from server.commands.showing import name_of, state_word


def _act(ti: str, action: str, body: Any, url: str | None, token: str | None, *, as_json: bool) -> None:  # noqa: ANN401 - a struct
    api = people_api(url, token)
    with conflict_means(f"`worker why {ti}` says how it came there"):
        acted = api.post(path("task-instances", resolve(api, ti).id, action), Acted, body)
    if as_json:
        show_json(acted)
        return
    for instance in acted.instances:
        click.echo(f"{name_of(instance)} {state_word(instance.state)}")
    if acted.total > len(acted.instances):
        flow_of = f"--flow {acted.instances[0].dag_id} --run {acted.instances[0].run_id}"
        click.echo(
            f"and {acted.total - len(acted.instances)} more: `worker ps {flow_of}` lists all of its run", err=True
        )


@click.command()
@click.argument("ti", metavar="TI", shell_complete=names)
@click.option("--keep-checkpoint", is_flag=True, help="Go on from its checkpoint instead of from the start.")
@click.option("--downstream", is_flag=True, help="And all that comes after it.")
@with_server
def clear(
    *, ti: str, keep_checkpoint: bool, downstream: bool, url: str | None, token: str | None, as_json: bool
) -> None:
    """Have a task instance run again, and say what was cleared. One that runs is stopped first.

    Exits 0; 2 when it could not be cleared.
    """
    body = ClearRequest(keep_checkpoint=keep_checkpoint, downstream=downstream)
    _act(ti, "clear", body, url, token, as_json=as_json)


@click.command()
@click.argument("ti", metavar="TI", shell_complete=names)
@click.option("--reason", help="Why, for its story.")
@with_server
def kill(*, ti: str, reason: str | None, url: str | None, token: str | None, as_json: bool) -> None:
    """End a task instance as failed. Its worker stops it at the next heartbeat.

    Exits 0; 2 when it could not be killed.
    """
    _act(ti, "kill", KillRequest(reason), url, token, as_json=as_json)


@click.command()
@click.argument("ti", metavar="TI", shell_complete=names)
@with_server
def resume(*, ti: str, url: str | None, token: str | None, as_json: bool) -> None:
    """Let a checkpointed task instance that is held go on.

    Exits 0; 2 when there is nothing to resume.
    """
    _act(ti, "resume", None, url, token, as_json=as_json)


@click.command()
@click.argument("ti", metavar="TI", shell_complete=names)
@click.argument("state", type=click.Choice(["success", "failed", "skipped"]))
@click.option("--reason", help="Why, for its story.")
@with_server
def mark(
    *,
    ti: str,
    state: Literal["success", "failed", "skipped"],
    reason: str | None,
    url: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Say how a task instance ended, whatever happened.

    Exits 0; 2 when it could not be marked.
    """
    _act(ti, "mark", MarkRequest(state, reason), url, token, as_json=as_json)
