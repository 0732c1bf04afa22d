"""Which plots the report has, and of which rows."""

from collections.abc import Callable
from typing import Any

from bench.svg import Bar, bars, lines, stack

Rows = dict[str, dict[str, Any]]
LOADED, IMPORTED = "its code loaded for each", "its code imported beforehand"


def _field(rows: Rows, name: str, *, floor: str = "") -> list[Bar]:
    loaded, imported = rows[f"{name}, {LOADED}"], rows[f"{name}, {IMPORTED}"]
    found = [Bar(floor, loaded["floor"], "floor")] if floor else []
    found += [Bar("Taskhand", loaded["ours"], "ours"), Bar("Taskhand, flow preloaded", imported["ours"], "ours")]
    peers = imported["peers"] | loaded["peers"]
    return found + [Bar(peer, value, "peer") for peer, value in peers.items()]


def cost(rows: Rows) -> str:
    """CPU of a no-op job."""
    found = _field(rows, "CPU per no-op job", floor="a fork and an exit")
    return bars("CPU of one no-op job, everything of the worker counted", "ms", found, 4.5)


def rate(rows: Rows) -> str:
    """No-op jobs a second."""
    return bars("No-op jobs a second, eight at once on the same cores", "1/s", _field(rows, "no-op jobs a second"), 300)


def _single(row: dict[str, Any], floor: str = "", ours: str = "Taskhand") -> list[Bar]:
    found = [Bar(floor, row["floor"], "floor")] if floor else []
    return [*found, Bar(ours, row["ours"], "ours"), *(Bar(peer, value, "peer") for peer, value in row["peers"].items())]


def alone(rows: Rows) -> str:
    """One job with nothing beside it."""
    found = _single(rows["one no-op job alone, until its end is known and its slot free"])
    return bars("One no-op job alone, from handed out until its slot is free", "ms", found)


def memory(rows: Rows) -> str:
    """Memory of a sleeper."""
    found = _single(rows["memory of a further sleeping job"], "a fork that sleeps")
    return bars("Memory of one further sleeping job", "MiB, proportional (PSS)", found, 2.5)


def cold(rows: Rows) -> str:
    """A cold start."""
    found = _single(rows["cold exec, python, wall"], "a bare interpreter", "worker exec")
    return bars("One no-op task in a process that starts for it, to its exit", "ms", found, 250)


def phases(rows: Rows) -> str:
    """Where a no-op's CPU goes."""
    whole, head = "no-op attempt: all of it", "no-op attempt: "
    parts = [(name.removeprefix(head), row["ours"]) for name, row in rows.items() if name.startswith(head)]
    return stack("Where the CPU of one no-op attempt goes", "ms", [each for each in parts if head + each[0] != whole])


def growth(rows: Rows) -> str:
    """Memory over sleepers."""
    tail = " sleeping tasks: memory of all processes"
    line = [(float(name.removesuffix(tail)), row["ours"]) for name, row in rows.items() if name.endswith(tail)]
    return lines(
        "Memory of one worker with so many sleeping tasks", "sleeping tasks; MiB; both logarithmic", {"Taskhand": line}
    )


PLOTS: dict[str, tuple[str, Callable[[Rows], str]]] = {
    "cost.svg": ("peers", cost),
    "rate.svg": ("peers", rate),
    "alone.svg": ("peers", alone),
    "memory.svg": ("peers", memory),
    "cold.svg": ("exec", cold),
    "phases.svg": ("phases", phases),
    "growth.svg": ("growth", growth),
}
"""Each file, and the module whose rows it draws."""
