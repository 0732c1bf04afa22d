"""`worker server`: the execution API server."""

import errno
import logging
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from server.deck import Limits
from server.drivers import UnknownDatabase, store_at
from server.faults import StoreError
from server.filters import Retention
from server.points import arm
from server.sealing import BadKey, Seal
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
@click.option(
    "--keep",
    type=click.FloatRange(0),
    help="Days to keep finished runs, their logs, and events of assets. Default: for ever.",
)
@click.option("--token-life", default=600.0, show_default=True, type=click.FloatRange(1), help="Seconds, of a task's.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What tokens are signed with. Default: TASKHAND_SECRET, else one made in the state directory.",
)
@click.option("--ready-fd", type=click.IntRange(0), help="Write a newline to this descriptor when ready.")
@click.option("--while-fd", type=click.IntRange(0), help="End when the other end of this pipe is closed.")
@click.option("--json", "as_json", is_flag=True, help="Say readiness as one JSON object.")
def command(**given: Any) -> None:  # noqa: ANN401 - one for each option, typed by `Options`
    """Serve the execution API, for workers and tasks, and the API of people.

    Says on stdout when it is ready, and leaves secret, tokens and URL in the state directory. Exits 0 after a SIGTERM
    or SIGINT, 2 when it cannot serve.
    """
    options = Options(**given)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if not is_loopback(options.host):
        click.echo(f"warning: {options.host} is reachable from other machines, and speaks no TLS", err=True)
    around = surroundings()
    arm(around.crash)
    try:
        serve(_serving(options, around))
    except (OSError, StoreError, UnknownDatabase, WeakSecret, BadKey) as error:
        raise Unserved(f"{_words(error)}{_advice(error)}") from error


ADVICE = {
    errno.EADDRINUSE: "; does a server run here already? --port 0 takes a free port",
    errno.ENOSPC: "; the state directory has its database and its tokens: make room there, or name another (--home)",
}


def _words(error: Exception) -> str:
    """Say what it is, without the system's number."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"


def _advice(error: Exception) -> str:
    """Say what may be done about it, where the system only says what it is."""
    return ADVICE.get(error.errno or 0, "") if isinstance(error, OSError) else ""


class Options(Struct, frozen=True, kw_only=True):
    """What was asked for on the command line."""

    db: str | None
    host: str
    port: int
    home: Path | None
    lease: float
    keep: float | None
    token_life: float
    secret_file: Path | None
    ready_fd: int | None
    while_fd: int | None
    as_json: bool


def _serving(options: Options, around: Surroundings) -> Serving:
    home = options.home or around.home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Serving(
        home=home,
        store=store_at(options.db or str(home / "taskhand.db"), lease_s=options.lease, seal=Seal(around.keys)),
        host=options.host,
        port=options.port,
        secret=_secret(options.secret_file, around),
        ready_fd=options.ready_fd,
        while_fd=options.while_fd,
        notify_socket=around.notify_socket,
        as_json=options.as_json,
        token_life_s=options.token_life,
        limits=Limits(lease_s=options.lease),
        retention=Retention(runs=None if options.keep is None else options.keep * DAY_S),
    )


def _secret(file: Path | None, around: Surroundings) -> bytes | None:
    if file is not None:
        return file.read_bytes().strip()
    return around.secret.encode() if around.secret else None


class Unserved(click.ClickException):
    """It cannot be served."""

    exit_code = 2
