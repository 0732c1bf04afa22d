"""`worker doctor`: gathers the facts about this installation, and prints what supervisor.diagnosis makes of them."""

import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import click
import msgspec

from supervisor.diagnosis import Facts, Finding, Level, diagnose
from supervisor.extras import CORE, DISTRIBUTION, EXTRAS, OURS

COLOURS = {Level.OK: "green", Level.NOTE: "yellow", Level.PROBLEM: "red"}


@click.command()
@click.option("--config", metavar="FILE", help="Instead of taskhand.toml in the current directory.")
@click.option("--api", metavar="URL", help="The execution API.")
@click.option("--state-dir", metavar="DIR", help="Where logs, checkpoints and the like are kept.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def command(*, config: str | None, api: str | None, state_dir: str | None, as_json: bool) -> None:
    """Say what is wrong with this installation, this machine and its way to the server.

    Exits 1 when there is a problem; what is merely not installed is none.
    """
    findings = diagnose(gather())
    if not any(finding.level is Level.PROBLEM for finding in findings):
        findings += machine(config, {"api.url": api, "worker.state_dir": state_dir})
    if as_json:
        click.echo(msgspec.json.encode({"findings": findings}).decode())
    else:
        show(findings)
    if any(finding.level is Level.PROBLEM for finding in findings):
        raise SystemExit(1)


def machine(config: str | None, flags: dict[str, object]) -> list[Finding]:
    """Try what a worker needs. Imported here: a sick installation has been told of by now, and would only fall over."""
    from supervisor.checkup import check_up  # noqa: PLC0415 - as above
    from supervisor.examining import examine  # noqa: PLC0415 - as above
    from supervisor.sections import SettingsError  # noqa: PLC0415 - as above
    from supervisor.settings import load  # noqa: PLC0415 - as above

    try:
        return check_up(examine(load(flags, config)))
    except (SettingsError, ValueError) as error:
        return [Finding("settings", Level.PROBLEM, str(error))]


def gather() -> Facts:
    """Look without importing: what is looked for may be broken, and that is no reason for the doctor to fall ill."""
    distributions = packages_distributions()
    return Facts(
        python=sys.version_info[:3],
        owners={name: sorted(set(distributions.get(name, ())) - {DISTRIBUTION}) for name in OURS},
        folders={name: folder_of(name) for name in OURS},
        absent_core=[name for name in CORE if not installed(name)],
        absent={extra: [name for name in names if not installed(name)] for extra, names in EXTRAS.items()},
    )


def folder_of(package: str) -> str:
    """Give the folder that holds the package, or nothing when there is no such package."""
    spec = find_spec(package)
    return str(Path(spec.origin).parent.parent) if spec is not None and spec.origin is not None else ""


def installed(module: str) -> bool:
    """Say whether the module can be found; looking for `a.b` imports `a`, which may be what is absent."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def show(findings: list[Finding]) -> None:
    """Print one line a finding; click leaves the colours out where nobody would see them."""
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        level = click.style(f"{finding.level:<8}", fg=COLOURS[finding.level])
        click.echo(f"{level} {finding.subject:<{width}}  {finding.message}")
