"""`worker schema`: the wire as JSON Schema, for those who write a runtime in another language."""

from pathlib import Path

import click

from protocol.schema import render


@click.command()
@click.option("--check", is_flag=True, help="Compare FILE with what this version says; exit 1 when they differ.")
@click.option("--write", is_flag=True, help="Write FILE instead of printing.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=Path("schema.json"))
def command(file: Path, *, check: bool, write: bool) -> None:
    """Print the messages, their answers and their versions as JSON Schema.

    With --check or --write, FILE (schema.json when not given) is compared or written instead.
    """
    if check and write:
        raise click.UsageError("--check and --write exclude each other: one only looks.")
    if write:
        file.write_text(render())
        click.echo(f"{file}: written")
    elif check:
        compare(file)
    else:
        click.echo(render(), nl=False)


def compare(file: Path) -> None:
    """Say whether the file is what we would write."""
    if not file.exists():
        raise click.ClickException(f"{file} does not exist; `worker schema --write {file}` makes it")
    if file.read_text() != render():
        raise click.ClickException(f"{file} is not what this version says; `worker schema --write {file}` renews it")
    click.echo(f"{file}: up to date")
