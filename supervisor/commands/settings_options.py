"""The flags that commands share, and how they become settings."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

from supervisor.sections import SettingsError
from supervisor.settings import Loaded, load

F = TypeVar("F", bound=Callable[..., Any])


class BadSettings(click.ClickException):
    """What is wrong with the settings. Exit 2: the call could not be carried out."""

    exit_code = 2


class NoRoom(click.ClickException):
    """A disk is full. Exit 1: as it is now it cannot be done, and whoever starts us again may find room."""

    exit_code = 1


def with_settings(command: F) -> F:
    """Add the options that every command with settings has."""
    for option in (
        click.option("--show-settings", is_flag=True, help="Print every setting and where it came from, and end."),
        click.option("--config", metavar="FILE", help="Instead of taskhand.toml in the current directory."),
        click.option("--state-dir", metavar="DIR", help="Where logs, checkpoints and the like are kept."),
        click.option("--api", metavar="URL", help="The execution API."),
    ):
        command = option(command)
    return command


def loaded(config: str | None, flags: dict[str, object], *, show: bool, as_json: bool = False) -> Loaded:
    """Read the settings; print them and end when that was asked for."""
    try:
        found = load(flags, config)
    except SettingsError as error:
        raise BadSettings(str(error)) from error
    if show:
        told = [*found.entries()]
        click.echo(msgspec.json.encode({"settings": told}) if as_json else "\n".join(map(str, told)))
        raise SystemExit(0)
    return found
