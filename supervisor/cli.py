"""The `worker` command: one thin group that finds its commands by name.

Each package brings its own commands, and a command is imported when it is called and not before. That is how one
program can speak for packages which must never import each other, how `worker --help` answers at once, and how a
command whose extra is not installed can say what to install.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from supervisor.extras import OURS
from supervisor.importing import uncollected

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


INTERRUPTED = 130
"""128 and SIGINT, as a shell has it."""


class Command(NamedTuple):
    """Where a command lives, what has to be installed for it, and what `worker --help` says of it."""

    target: str
    extra: str | None
    help: str


# In the order in which `worker --help` lists them.
COMMANDS: dict[str, Command] = {
    "demo": Command("supervisor.commands.demo:command", "server", "See in a minute what Taskhand does."),
    "up": Command("supervisor.commands.up:command", None, "Start a server and a worker, for one machine."),
    "run": Command("supervisor.commands.run:command", None, "Take workloads and carry them out, until SIGTERM."),
    "exec": Command("supervisor.commands.exec:command", None, "Carry out one workload, and report its outcome."),
    "drain": Command("supervisor.commands.drain:command", None, "Have this machine's workers finish."),
    "upgrade": Command("supervisor.commands.upgrade:command", None, "Replace this machine's workers while tasks run."),
    "outbox": Command("supervisor.commands.outbox:command", None, "List what the server is still to be told."),
    "server": Command("server.commands.server:command", "server", "Serve the execution API and the API of people."),
    "submit": Command("server.commands.submit:command", None, "Draw a flow and have it run."),
    "ps": Command("server.commands.ps:command", None, "List task instances, or runs."),
    "top": Command("server.commands.top:command", None, "Watch what runs and waits."),
    "logs": Command("server.commands.logs:command", None, "Print the log of an attempt."),
    "why": Command("server.commands.why:command", None, "Say why a task instance is where it is."),
    "clear": Command("server.commands.acting:clear", None, "Have a task instance run again."),
    "kill": Command("server.commands.acting:kill", None, "End a task instance as failed."),
    "resume": Command("server.commands.acting:resume", None, "Let a held checkpointed task instance go on."),
    "mark": Command("server.commands.acting:mark", None, "Say how a task instance ended, whatever happened."),
    "schema": Command("supervisor.commands.schema:command", None, "Print the wire as JSON Schema, for other runtimes."),
    "doctor": Command("supervisor.commands.doctor:command", None, "Say what is wrong with this installation."),
    "completion": Command("supervisor.commands.completion:command", None, "Print the completion script for a shell."),
}


class MissingExtra(click.ClickException):
    """The command exists, but what it needs is not installed. Exit 2, as for any call that cannot be carried out."""

    exit_code = 2


class CommandsByName(click.Group):
    """A group which knows its commands by the table, and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give the table's order: what one needs first comes first, and the alphabet does not know what that is."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import here, and only here: click asks for the one command that was called."""
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else load(cmd_name, entry)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse what is not in the table, with the command that was probably meant."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing and not args[0].startswith("-"):
            from difflib import get_close_matches  # noqa: PLC0415 - only a mistake pays for it

            near = get_close_matches(args[0], COMMANDS, 1, 0.5)
            meant = f"did you mean `worker {near[0]}`?" if near else "`worker --help` lists them."
            ctx.fail(f"there is no command {args[0]!r}; {meant}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Complete a command's name from the table: click's own way would import every command for its first line."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a completing shell pays for it

        found = [
            CompletionItem(name, help=entry.help) for name, entry in COMMANDS.items() if name.startswith(incomplete)
        ]
        return found or click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - what a command returns
        """Run the command. Ctrl-C is no answer of its: click would exit 1, which means that the answer is no."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo(err=True)
            raise SystemExit(INTERRUPTED) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List from the table: click's own way would import every command for its first line."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


def load(name: str, entry: Command) -> click.Command:
    """Import the command; a library that is absent because its extra is becomes an answer instead of a traceback."""
    module, _, attribute = entry.target.partition(":")
    try:
        with uncollected():
            command: click.Command = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        absent = (error.name or "").partition(".")[0]
        if entry.extra is None or absent in OURS:
            raise
        raise MissingExtra(
            f"`worker {name}` needs {absent}, which is not installed: pip install 'taskhand[{entry.extra}]'"
        ) from error
    return command


@click.command(cls=CommandsByName, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="taskhand", prog_name="taskhand", message="%(prog)s %(version)s")
def main() -> None:
    """Run tasks that survive: supervised, checkpointed, reported exactly once.

    Exit codes: 0 done; 1 done, and the answer is no; 2 the call could not be carried out; 130 Ctrl-C.
    """
