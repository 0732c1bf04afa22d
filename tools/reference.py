"""`docs/commands.md`, drawn from the commands themselves: what `--help` says, on one page."""

import inspect
from collections.abc import Iterator

import click

from supervisor.cli import COMMANDS, main

HEAD = """# Commands

Drawn from the commands; do not edit: `make fix` draws it again. `worker COMMAND --help` says the same.

"""
MARK = "\b"
"""Click's own, before lines that stay lines."""


def draw() -> str:
    """Draw the page."""
    root = click.Context(main, info_name="worker", terminal_width=200)
    parts = [HEAD.rstrip(), "\n", *_prose(main), "\n", *_contents()]
    for name in COMMANDS:
        command = main.get_command(root, name)
        if command is not None:
            parts += _command(command, click.Context(command, info_name=name, parent=root, terminal_width=200))
    return "".join(parts).rstrip() + "\n"


def _contents() -> Iterator[str]:
    yield "| command | |\n|---|---|\n"
    for name, entry in COMMANDS.items():
        yield f"| [`{name}`](#worker-{name}) | {entry.help} |\n"


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"\n## worker {context.info_name}\n\n"
    yield f"```\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    yield from _prose(command)
    records = [record for each in command.params if (record := each.get_help_record(context)) and record[1]]
    yield "\n| option | |\n|---|---|\n" if records else ""
    for names, said in records:
        yield f"| `{_cell(names)}` | {_cell(said)} |\n"


def _prose(command: click.Command) -> Iterator[str]:
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith(MARK):
            yield f"\n```\n{paragraph.removeprefix(MARK).strip()}\n```\n"
        else:
            yield f"\n{paragraph}\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
