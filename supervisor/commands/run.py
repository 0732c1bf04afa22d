"""`worker run`: a long-lived worker."""

import contextlib
from collections.abc import Iterator

import click
import msgspec

from supervisor.commands.settings_options import BadSettings, NoRoom, loaded, with_settings
from supervisor.journal_files import JournalError
from supervisor.keeper.process import KeeperError
from supervisor.places import PlaceError, is_freed
from supervisor.points import arm
from supervisor.records import Record
from supervisor.running import NoTokenError, NoWorkError, announce, check, run, work
from supervisor.settings import Settings, crash_point, notify_socket


@click.command()
@with_settings
@click.option("--slots", type=click.IntRange(1), help="How many attempts at a time.")
@click.option("--queues", metavar="A,B", help="The queues to take work from.")
@click.option("--source", type=click.Choice(["claim", "stdin"]), help="Where workloads come from.")
@click.option("--token", metavar="TOKEN", help="The worker token. Better in TASKHAND_WORKER_TOKEN: flags can be seen.")
@click.option("--preload", multiple=True, metavar="WHAT", help="A module or flow file that children find imported.")
@click.option("--name", metavar="NAME", help="Who this worker is.")
@click.option("--ready-fd", type=int, metavar="FD", help="Write a line there when it is ready.")
@click.option("--while-fd", type=int, metavar="FD", help="Drain when the other end of this pipe is closed.")
@click.option(
    "--check", "check_only", is_flag=True, help="Say in JSON what it could take over, or why it cannot start."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON line for each attempt.")
def command(  # noqa: PLR0913 - one parameter for each flag
    *,
    config: str | None,
    show_settings: bool,
    ready_fd: int | None,
    while_fd: int | None,
    as_json: bool,
    check_only: bool,
    **given: object,
) -> None:
    """Take workloads and carry them out, until SIGTERM.

    SIGTERM (or SIGINT) drains: nothing more is claimed, every attempt is asked to stop and is reported. A second one
    shortens patience, and never the accounting. What a worker that was killed could not tell, the next one on its state
    directory tells (`worker ps --undelivered` lists it); two cannot share one.

    Exit codes: 0 all attempts were told of; 1 some could not be within the grace, or a disk is full: start it again;
    2 the call could not be carried out.
    """
    settings = loaded(config, _flags(given), show=show_settings, as_json=as_json).settings
    _end_if(check_only, settings)
    arm(crash_point())

    def tell(record: Record) -> None:
        from supervisor.commands.exec import line, told  # noqa: PLC0415 - the lines' shape is `exec`'s

        click.echo(line(record) if as_json else told(record))

    def ready(name: str) -> None:
        click.echo(f"worker {name} ready: {settings.worker.slots} slots, {settings.api.url}", err=True)
        announce(name, ready_fd, notify_socket())

    def complain(text: str) -> None:
        click.echo(f"worker: {text}", err=True)

    with _said():
        undelivered = run(work(settings, None, tell, complain, ready, while_fd=while_fd))
    if undelivered:
        complain(f"{undelivered} attempts could not be told of; the next worker on {settings.state_dir} will")
        raise SystemExit(1)


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Say why there can be no worker, and end."""
    try:
        yield
    except (JournalError, NoTokenError, NoWorkError, KeeperError, PlaceError, ValueError) as error:
        raise (NoRoom if is_freed(error) else BadSettings)(str(error)) from error


def _end_if(checking: bool, settings: Settings) -> None:  # noqa: FBT001 - a flag, as it was given
    """Start nothing that lasts: for who is about to give itself up for the worker that this command line makes."""
    if checking:
        with _said():
            found = run(check(settings))
        click.echo(msgspec.json.encode(found))
        raise SystemExit(0)


def _flags(given: dict[str, object]) -> dict[str, object]:
    queues = given.pop("queues")
    return {
        "api.url": given.pop("api"),
        "worker.queues": queues.split(",") if isinstance(queues, str) else None,
        "keeper.preload": given.pop("preload") or None,
        **{f"worker.{name}": value for name, value in given.items()},
    }
