"""`worker server`: the execution API server."""

import logging
from pathlib import Path

import click

from server.deck import Limits
from server.drivers import UnknownDatabase, store_at
from server.faults import StoreError
from server.filters import Retention
from server.serving import Serving, is_loopback, serve
from server.settings import HOST, PORT, Surroundings, surroundings
from server.tokens import WeakSecret

DAY_S = 86_400.0


@click.command()
@click.option("--db", metavar="WHERE", help="A file for SQLite, or a postgresql:// URL. Default: HOME/taskhand.db.")
@click.option("--host", default=HOST, show_default=True, help="The address to listen on.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65_535), help="0 takes a free one.")
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="The state directory.")
@click.option("--lease", default=30.0, show_default=True, type=click.FloatRange(0.1), help="Seconds without a word.")
@click.option("--keep", type=click.FloatRange(0), help="Days to keep finished runs and their logs. Default: for ever.")
@click.option("--token-life", default=600.0, show_default=True, type=click.FloatRange(1), help="Seconds, of a task's.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What tokens are signed with. Default: TASKHAND_SECRET, else one made in the state directory.",
)
@click.option("--ready-fd", type=click.IntRange(0), help="Write a newline to this descriptor when ready.")
@click.option("--json", "as_json", is_flag=True, help="Say readiness as one JSON object.")
def command(
    *,
    db: str | None,
    host: str,
    port: int,
    home: Path | None,
    lease: float,
    keep: float | None,
    token_life: float,
    secret_file: Path | None,
    ready_fd: int | None,
    as_json: bool,
) -> None:
    """Serve the execution API, for workers and tasks, and the API of people.

    Says on stdout when it is ready, and leaves secret, tokens and URL in the state directory. Exits 0 after a SIGTERM
    or SIGINT, 2 when it cannot serve.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    around = surroundings()
    where = home or around.home
    if not is_loopback(host):
        click.echo(f"warning: {host} is reachable from other machines, and speaks no TLS", err=True)
    try:
        where.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = store_at(db or str(where / "taskhand.db"), lease_s=lease)
        serving = Serving(
            home=where,
            store=store,
            host=host,
            port=port,
            secret=_secret(secret_file, around),
            ready_fd=ready_fd,
            notify_socket=around.notify_socket,
            as_json=as_json,
            token_life_s=token_life,
            limits=Limits(lease_s=lease),
            retention=Retention(runs=None if keep is None else keep * DAY_S),
        )
        serve(serving)
    except (OSError, StoreError, UnknownDatabase, WeakSecret) as error:
        raise Unserved(str(error)) from error


def _secret(file: Path | None, around: Surroundings) -> bytes | None:
    if file is not None:
        return file.read_bytes().strip()
    return around.secret.encode() if around.secret else None


class Unserved(click.ClickException):
    """It cannot be served."""

    exit_code = 2
