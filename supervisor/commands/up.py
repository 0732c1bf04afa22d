"""`worker up`: a server and a worker in one, for one machine."""

import asyncio
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path

import click

from supervisor.commands.settings_options import BadSettings, loaded
from supervisor.standalone import READY, PartFailed, Standalone, parts_of

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

    The flows in FLOW.py are checked and listed with how to submit them; children find the file imported, and when it
    changes it is imported anew.

    Exit codes: 0 stopped as asked, or the worker was drained (`worker drain`) and told everything; 1 one of them
    failed, or ended unasked; 2 the call could not be carried out.
    """
    settings = loaded(config, {"worker.state_dir": state_dir, "worker.slots": slots}, show=False).settings
    given = {"--slots": slots, "--queues": queues, "--config": config}
    flags = [text for flag, value in given.items() if value is not None for text in (flag, str(value))]
    flows = [] if flow is None else flows_in(flow)
    if flow is not None:
        flags += ["--preload", str(flow.resolve())]

    def tell(text: str) -> None:
        for line in (text, *(flows if text == READY else ())):
            click.echo(f"up: {line}", err=True)

    parts = parts_of(sys.executable, settings.state_dir, port, flags)
    try:
        asyncio.run(Standalone(parts, tell).run())
    except PartFailed as error:
        click.echo(f"up: {error}", err=True)
        raise SystemExit(1) from error
    except OSError as error:
        raise BadSettings(str(error)) from error


def flows_in(file: Path) -> list[str]:
    """Say of each flow how it is submitted. By name, as the supervisor must not import the runner."""
    authoring = import_module("runner.authoring")
    try:
        found = authoring.flows_of(authoring.load_module(file))
    except authoring.AuthoringError as error:
        raise BadSettings(str(error)) from error
    if not found:
        raise BadSettings(f"{file}: there is no flow in it: decorate a function with @flow")
    return [f"worker submit {file}:{name}{_params(each.function)} --wait" for name, each in found.items()]


def _params(function: Callable[..., object]) -> str:
    wanted = [each for each in signature(function).parameters.values() if each.default is Parameter.empty]
    return "".join(f" --param {each.name}=…" for each in wanted)
