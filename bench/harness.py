"""What every benchmark shares: its rows, and how it prints them.

`--json` makes the last line on stdout one object, `{"rows": [...]}`; without it there is a table. `--quick` measures as
little as still means something.
"""

import json
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One measured thing: ours beside the peers of the same run, and the floor that nothing here can go below."""

    name: str
    unit: str
    ours: float
    peers: dict[str, float]
    floor: float | None
    runs: int
    spread: float
    """The interquartile range of our runs, in the row's unit."""


def median_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Give the median, and the interquartile range."""
    if len(values) < 2:  # noqa: PLR2004 - one value has no spread
        return values[0], 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return statistics.median(values), round(high - low, 3)


def emit(rows: Sequence[Row], arguments: Sequence[str]) -> None:
    """Print the rows for a person, or for a program."""
    if "--json" in arguments:
        print(json.dumps({"rows": [_object(row) for row in rows]}))
        return
    for row in rows:
        peers = "".join(f"; {name} {value:g}" for name, value in row.peers.items())
        floor = "" if row.floor is None else f"; floor {row.floor:g}"
        print(f"{row.name}: {row.ours:g} {row.unit} (±{row.spread:g}, {row.runs} runs){floor}{peers}")


def _object(row: Row) -> dict[str, Any]:
    return row._asdict()
