"""`worker upgrade`: have this machine's workers become their successors, with their tasks running."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import click
import msgspec

from supervisor.commands.settings_options import loaded, with_settings
from supervisor.running import Found, unnoted, workers
from supervisor.upgrading import Wish, read, write

LOOK_S = 0.02


@click.command()
@with_settings
@click.option("--python", default=sys.executable, metavar="PATH", help="The Python that is to run; this one.")
@click.option("--wait", "wait_s", type=float, default=30.0, metavar="S", help="Wait for them, so long at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(  # noqa: PLR0913 - one parameter for each flag
    *,
    config: str | None,
    show_settings: bool,
    api: str | None,
    state_dir: str | None,
    python: str,
    wait_s: float,
    as_json: bool,
) -> None:
    """Have every worker of this state directory run the code that is installed now. Its tasks go on and do not notice.

    The worker keeps its pid, its arguments and its place. A task sees the new code when it starts; those that run keep
    theirs. First each worker has its successor try whether it can start and can read what it leaves; if not, it goes
    on, and why is said. A worker that reads its workloads from stdin cannot be replaced.

    Exit codes: 0 all run the new code; 1 some do not, and why is said.
    """
    settings = loaded(config, {"api.url": api, "worker.state_dir": state_dir}, show=show_settings).settings
    found = list(workers(settings.state_dir))
    other = unnoted(settings.state_dir, found)
    for each in found:
        _ask(each, settings.state_dir, python)
    until = time.monotonic() + wait_s
    told = [_told(each, settings.state_dir, until, aloud=not as_json) for each in found]
    if as_json:
        click.echo(msgspec.json.encode({"workers": told, "error": other}).decode())
    elif not found and other is None:
        click.echo(f"no worker runs on {settings.state_dir}; --state-dir names another", err=True)
    if other is not None:
        click.echo(f"Error: {other}", err=True)
    raise SystemExit(int(other is not None or not all(each["upgraded"] for each in told)))


def _ask(worker: Found, state_dir: Path, python: str) -> None:
    try:
        write(state_dir, worker.pid, Wish(python=python))
    except OSError as error:  # a full disk: it could not say either that it is ready
        raise click.ClickException(f"{state_dir}: {error.strerror}; {worker.name} is not replaced") from error
    with contextlib.suppress(ProcessLookupError):  # it has ended, as we shall see
        signal.pidfd_send_signal(worker.pidfd, signal.SIGUSR1)


def _told(worker: Found, state_dir: Path, until: float, *, aloud: bool) -> dict[str, object]:
    """Wait for what becomes of it, and say it."""
    new = _successor(worker, state_dir, until)
    gap_s, why = (None, new) if isinstance(new, str) else (new.gap_s, None)
    if aloud:
        state = "runs the new code" if why is None else f"is not replaced: {why}"
        gap = "" if gap_s is None else f"; its tasks were alone for {gap_s:.2f} s"
        click.echo(f"{worker.name} ({worker.pid}): {state}{gap}")
    return {"name": worker.name, "pid": worker.pid, "upgraded": why is None, "gap_s": gap_s, "why": why}


def _successor(before: Found, state_dir: Path, until: float) -> Found | str:
    """Wait for the note of the one that follows, or for why there is none."""
    while time.monotonic() < until:
        if before.ended(LOOK_S):
            return "it has ended"
        for each in workers(state_dir):
            os.close(each.pidfd)
            if each.pid == before.pid and each.ready > before.ready:
                return each
        if why := read(state_dir, before.pid).refused:
            return why
    return "it has not answered yet"
