"""`worker completion`: what a shell has to read so that it completes commands, flags and names of task instances."""

import click
from click.shell_completion import get_completion_class

PROGRAM = "worker"
VARIABLE = "_WORKER_COMPLETE"
"""Set by the shell's function when it asks the program; the name is click's, made of the program's."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, *, shell: str) -> None:
    """Print the completion script for a shell, which is to read it when it starts.

    \b
    bash   echo 'eval "$(worker completion bash)"' >> ~/.bashrc
    zsh    echo 'eval "$(worker completion zsh)"' >> ~/.zshrc
    fish   worker completion fish > ~/.config/fish/completions/worker.fish

    Exits 0; 2 when there is no such shell.
    """  # noqa: D301 - click's own mark for lines that stay lines
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all that the choice names
    script = kind(context.find_root().command, {}, PROGRAM, VARIABLE)
    # Not `source()`: for bash that first asks the bash of this machine for its version, which need not be the reader's.
    click.echo(script.source_template % script.source_vars())
