"""`worker up`: a server and a worker in one, for one machine."""

import asyncio
import sys
from pathlib import Path

import click

from supervisor.commands.settings_options import BadSettings, loaded
from supervisor.standalone import PartFailed, Standalone, parts_of

PORT = 8710


@click.command()
@click.argument("flow", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="The server's; 0 takes a free one."
)
@click.option("--slots", type=click.IntRange(1), help="How many attempts at a time.")
@click.option("--queues", metavar="A,B", help="The queues to take work from.")
@click.option("--config", metavar="FILE", help="Instead of taskhand.toml in the current directory.")
@click.option("--state-dir", metavar="DIR", help="Where the database, logs and checkpoints are kept.")
def command(  # noqa: PLR0913 - one parameter for each flag
    *, flow: Path | None, port: int, slots: int | None, queues: str | None, config: str | None, state_dir: str | None
) -> None:
    """Start a server and a worker, and stop them in order on Ctrl-C or SIGTERM.

    FLOW.py only says what is going to be submitted; the file has to be there.

    Exit codes: 0 stopped as asked; 1 one of them failed; 2 the call could not be carried out.
    """
    settings = loaded(config, {"worker.state_dir": state_dir, "worker.slots": slots}, show=False).settings
    given = {"--slots": slots, "--queues": queues, "--config": config}
    flags = [text for flag, value in given.items() if value is not None for text in (flag, str(value))]
    if flow is not None:
        click.echo(f"up: submit it with: worker submit {flow}:FLOW --wait", err=True)
    parts = parts_of(sys.executable, settings.state_dir, port, flags)
    try:
        asyncio.run(Standalone(parts, lambda text: click.echo(f"up: {text}", err=True)).run())
    except PartFailed as error:
        click.echo(f"up: {error}", err=True)
        raise SystemExit(1) from error
    except OSError as error:
        raise BadSettings(str(error)) from error
