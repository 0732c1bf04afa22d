"""How commands show things: a table with colour in a terminal, plain lines with tabs in a pipe, JSON when asked."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import msgspec

from protocol.http.people import InstanceSummary, RunSummary
from protocol.states import FINISHED

if TYPE_CHECKING:
    from rich.table import Table

IDS = ("ID", "ATTEMPT")
COLOURS = {
    "success": "green",
    "failed": "red",
    "upstream_failed": "red",
    "running": "cyan",
    "queued": "blue",
    "up_for_retry": "yellow",
    "up_for_reschedule": "yellow",
    "deferred": "magenta",
    "awaiting_input": "magenta",
    "checkpointed": "yellow",
    "skipped": "bright_black",
    "removed": "bright_black",
}


def in_terminal() -> bool:
    """Whether a person looks at our stdout."""
    return sys.stdout.isatty()


def as_json(value: Any) -> None:  # noqa: ANN401 - a struct
    """One object in one line."""
    click.echo(msgspec.json.encode(value))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under headings. In a pipe there are no headings: whoever cuts lines wants lines alike."""
    if not in_terminal():
        for row in rows:
            plain(row)
        return
    from rich.console import Console  # noqa: PLC0415 - 30 ms that only a terminal pays for

    Console().print(drawn(columns, rows))


def plain(row: Sequence[object]) -> None:
    """One line, with tabs between its cells."""
    click.echo("\t".join(_flat(cell) for cell in row))


def drawn(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> "Table":
    """Draw rows under headings, each state in its colour."""
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    found = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        # The beginning of an id is enough to name it, so it may be cut; all else is folded.
        found.add_column(column, overflow="ellipsis" if column in IDS else "fold", no_wrap=column in IDS)
    for row in rows:
        found.add_row(
            *(Text(str(cell), style=COLOURS.get(str(cell), "").replace("bright_black", "dim")) for cell in row)
        )
    return found


def _flat(cell: object) -> str:
    return str(cell).replace("\t", " ").replace("\n", " ")


def done_of(run: RunSummary) -> tuple[int, int]:
    """How many of a run's task instances are finished, and how many it has by now."""
    return sum(count for state, count in run.counts.items() if state in FINISHED), sum(run.counts.values())


def counts_of(run: RunSummary) -> str:
    """How many are in which state."""
    return " ".join(f"{state}={count}" for state, count in sorted(run.counts.items()))


def run_of(instance: InstanceSummary) -> str:
    """How people name the run of a task instance."""
    return f"{instance.dag_id}/{instance.run_id}"


def name_of(instance: InstanceSummary) -> str:
    """How people name a task instance."""
    index = f"[{instance.map_index}]" if instance.map_index >= 0 else ""
    return f"{run_of(instance)}/{instance.task_id}{index}"


def state_word(state: str) -> str:
    """A state, in its colour where there is colour."""
    return click.style(state, fg=COLOURS.get(state)) if in_terminal() else state


def moment(at: datetime | None) -> str:
    """A moment: local and short for people, exact for programs."""
    if at is None:
        return "-"
    return at.astimezone().strftime("%m-%d %H:%M:%S") if in_terminal() else at.isoformat()


def took(instance: InstanceSummary) -> str:
    """How long it ran, or runs."""
    if instance.start_date is None:
        return "-"
    return span((instance.end_date or datetime.now(UTC)) - instance.start_date)


def span(length: timedelta) -> str:
    """A length of time in two units."""
    seconds = length.total_seconds()
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
