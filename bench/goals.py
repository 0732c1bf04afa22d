"""What is to be held, row by row: which benchmark shows it, and what the number has to be.

The words are the design's. A goal that no row shows is said to be held elsewhere, or not built, and never left out.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

Measured = dict[str, Any]


class Goal(NamedTuple):
    """One number to hold."""

    what: str
    module: str
    row: str
    text: str
    met: Callable[[Measured], bool]
    otherwise: str = ""
    """Said where it is not met: what stands in the way."""


def at_most(limit: float) -> Callable[[Measured], bool]:
    """Hold that ours is no more."""
    return lambda row: bool(row["ours"] <= limit)


def at_least(limit: float) -> Callable[[Measured], bool]:
    """Hold that ours is no less."""
    return lambda row: bool(row["ours"] >= limit)


def of_floor(times: float) -> Callable[[Measured], bool]:
    """Hold that ours is no more than so many times the floor."""
    return lambda row: bool(row["ours"] <= times * row["floor"])


PARTS = (
    "Where it goes is below, by phase. A fork and an exit are 1.2 ms, and the smallest child that ends well takes all "
    "of the goal; ours copies 270 pages more, at 2 us each (decision 0047)."
)
PAGES = (
    "The floor is a fork that sleeps. The rest is some 500 pages that a child writes on its way to user code, and 100 "
    "of which the keeper has newer ones (decision 0047)."
)
TRIPS = "Measured beside Airflow's client alone, without the trips to its task that ours has; its row has them now."
CALLS = (
    "Two calls of Python's, the prefix, and whether the message may be sent are 0.23 us; in one function they would be "
    "0.12, and no two parts of it could be read or tested apart (decision 0047)."
)
PING = (
    "The goal supposed a ping-pong of 40 us between cores. Where both ends share one, it is a quarter of that, and the "
    "loop's own echo is already 1.3 times it (decision 0030)."
)

GOALS = (
    Goal(
        "CPU per no-op Python task",
        "peers",
        "CPU per no-op job, its code loaded for each",
        "≤ 4.5 ms",
        at_most(4.5),
        PARTS,
    ),
    Goal(
        "the same, its flow loaded in the keeper",
        "peers",
        "CPU per no-op job, its code imported beforehand",
        "≤ 4.5 ms",
        at_most(4.5),
        PARTS,
    ),
    Goal("tasks/s", "peers", "no-op jobs a second, its code loaded for each", "≥ 300", at_least(300), PARTS),
    Goal("cold `worker exec` of one workload", "exec", "cold exec, python, wall", "≤ 250 ms", at_most(250)),
    Goal(
        "memory per further sleeping task (PSS)",
        "peers",
        "memory of a further sleeping job",
        "≤ 2.5 MiB",
        at_most(2.5),
        PAGES,
    ),
    Goal(
        "2,000 running tasks in 8 GB, heartbeats on time",
        "growth",
        "2000 sleeping tasks: memory of all processes",
        "≤ 8,192 MiB, none lost",
        at_most(8192),
    ),
    Goal("idle CPU with them", "growth", "2000 sleeping tasks: CPU of watching", "≤ 25 % of a core", at_most(25)),
    Goal("slot held after a trivial task has ended", "attempt", "slot free after exit", "≤ 10 ms", at_most(10)),
    Goal(
        "runner → supervisor round trip without HTTP",
        "roundtrip",
        "round trip, as a multiple of the raw ping-pong",
        "≤ 1.5 x the ping-pong",
        at_most(1.5),
        PING,
    ),
    Goal("variable read through HTTP", "variable", "variable read through HTTP", "≤ 250 us", at_most(250)),
    Goal("the same beside Airflow's", "variable", "the same, as a part of Airflow's", "≤ 0.4", at_most(0.4), TRIPS),
    Goal(
        "printed lines per second into the attempt's log",
        "logs",
        "printed lines into the attempt's log",
        "≥ 200,000",
        at_least(200_000),
        "The floor is a reader without a loop, a mask or a budget.",
    ),
    Goal("codec, 200-byte message, out", "codec", "question out", "≤ 2 x the floor", of_floor(2)),
    Goal("codec, 200-byte message, in", "codec", "question in", "≤ 2 x the floor", of_floor(2), CALLS),
    Goal(
        "a frame read, decoded, encoded and written",
        "codec",
        "a frame read, decoded, encoded and written",
        "≤ 3 x the floor",
        of_floor(3),
    ),
    Goal(
        "task lifecycles over HTTP, 8 clients",
        "server",
        "lifecycles over HTTP, SQLite",
        "≥ 400 /s",
        at_least(400),
        "What one takes of the server's CPU is its own row below; the rest is waiting, for the disk and for a core.",
    ),
    Goal(
        "the same with 100,000 finished and 10,000 queued",
        "server",
        "time of one over HTTP, full as a multiple of empty",
        "≤ 1.1 x",
        at_most(1.1),
        "The server's CPU for one, full and empty, is less disturbed by other work: see its rows.",
    ),
    Goal(
        "drain of 200 running tasks",
        "drain",
        "drain of 200 running tasks beyond their own checkpoint (0.2 s), all told",
        "≤ 2 s",
        at_most(2),
    ),
    Goal(
        "a killed worker's 200 tasks adopted",
        "adoption",
        "killed worker with 200 tasks, until the next has adopted them",
        "≤ 1 s",
        at_most(1),
    ),
    Goal(
        "200 tasks alone in an upgrade",
        "adoption",
        "upgrade of a worker with 200 tasks, gap",
        "≤ 1 s",
        at_most(1),
    ),
)

ELSEWHERE = (
    ("SIGKILL of the supervisor: adopted, the result told once", "`tests/system/test_adoption.py`"),
    ("API away for 10 minutes, policy `keep`", "`tests/system/test_outage.py`, in `make soak`"),
    ("Airflow's own Python runner as our runtime", "not built"),
    ("triggers", "not built"),
)
"""What the design lists and no row here shows, and where it is held."""
