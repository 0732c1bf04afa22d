"""`worker drain`: have this machine's workers finish."""

import contextlib
import signal
import time

import click
import msgspec

from supervisor.commands.settings_options import loaded, with_settings
from supervisor.running import unnoted, workers


@click.command()
@with_settings
@click.option("--wait", "wait_s", type=float, default=None, metavar="S", help="Wait for them to end, so long at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(  # noqa: PLR0913 - one parameter for each flag
    *,
    config: str | None,
    show_settings: bool,
    api: str | None,
    state_dir: str | None,
    wait_s: float | None,
    as_json: bool,
) -> None:
    """Ask every worker of this state directory to claim no more, stop its attempts with a checkpoint, and end.

    Exit codes: 0 all were asked (and ended, with --wait); 1 one could not be asked, which is said, or some still run
    when the wait is over.
    """
    settings = loaded(
        config, {"api.url": api, "worker.state_dir": state_dir}, show=show_settings, as_json=as_json
    ).settings
    found = list(workers(settings.state_dir))
    other = unnoted(settings.state_dir, found)
    for each in found:
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            signal.pidfd_send_signal(each.pidfd, signal.SIGTERM)
    until = time.monotonic() + (wait_s or 0.0)
    ended = {each.pid for each in found if wait_s is not None and each.ended(max(until - time.monotonic(), 0.0))}
    if as_json:
        told = [{"name": each.name, "pid": each.pid, "ended": each.pid in ended} for each in found]
        click.echo(msgspec.json.encode({"workers": told, "error": other}).decode())
    elif not found and other is None:
        click.echo(f"no worker runs on {settings.state_dir}; --state-dir names another", err=True)
    else:
        for each in found:
            state = "asked to finish" if wait_s is None else "ended" if each.pid in ended else "still runs"
            click.echo(f"{each.name} ({each.pid}): {state}")
    if other is not None:
        click.echo(f"Error: {other}", err=True)
    raise SystemExit(int(other is not None or (wait_s is not None and len(ended) < len(found))))
