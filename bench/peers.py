"""A no-op job and a sleeping one, here and elsewhere: `python -m bench.peers [--quick] [--json]`.

Airflow's LocalExecutor, Celery's prefork pool, RQ's worker pool and ours, each a program of its own with eight slots,
started together and measured in turns, by one meter from outside (`bench.meter`): the worker's processes are counted,
and the execution API, the broker and whoever hands the jobs out are not. What each does for a job, and why these rows
are put beside each other, is docs/decisions/0032-how-peers-are-measured.md. The floor is a fork and an exit of a Python
like the keeper, and a fork that sleeps.
"""

import contextlib
import sys

from bench.contenders import (
    ALL,
    FRESH,
    LOCAL,
    OURS,
    PREFORK,
    PRELOADED,
    RQ,
    SLOTS,
    Contender,
    Running,
    Venue,
    started,
    venue,
)
from bench.floors import fork_ms
from bench.harness import Row, emit, median_and_spread
from bench.memory import floor_kib

COUNTS = {OURS: 800, PRELOADED: 800, LOCAL: 16, PREFORK: 2_000, FRESH: 40, RQ: 400}
"""How many jobs a round has: about as long for each, and never fewer than two for each slot."""
LOADED, IMPORTED = "its code loaded for each", "its code imported beforehand"
FIELDS = {LOADED: (OURS, (LOCAL,)), IMPORTED: (PRELOADED, (PREFORK, FRESH, RQ))}
EVERYONE = (OURS, (LOCAL, PREFORK, FRESH, RQ))
SLEEPERS = (OURS, (LOCAL, PREFORK, RQ))
FEW = 2
MANY = {OURS: 100, LOCAL: 10, PREFORK: 10, RQ: 10}
"""How many sleep. Two starts of one program differ by some 2 MiB, which is to be little beside what is measured."""

ALONE = {LOCAL: 1}
"""How many jobs of a round are handed out one by one: five, but of who needs seconds for each."""

Figures = dict[Contender, list[float]]


def noops(place: Venue, present: list[Contender], rounds: int, part: int) -> tuple[Figures, Figures, Figures]:
    """Give CPU milliseconds of a job, jobs a second, and the milliseconds of a job alone, of each round of each."""
    costs: Figures = {each: [] for each in present}
    rates: Figures = {each: [] for each in present}
    alone: Figures = {each: [] for each in present}
    with contextlib.ExitStack() as stack:
        running: dict[Contender, Running] = {each: stack.enter_context(started(each, place, SLOTS)) for each in present}
        for number in range(rounds + 1):
            for each, one in running.items():
                cost, rate = one.noops(max(COUNTS[each] // part, SLOTS))
                if number:  # the first warms up
                    costs[each].append(cost)
                    rates[each].append(rate)
                    alone[each] += [1e3 / one.noops(1)[1] for _ in range(ALONE.get(each, 5))]
    return costs, rates, alone


def sleepers(place: Venue, present: list[Contender], rounds: int) -> Figures:
    """Give the MiB of each further sleeping job."""
    found: Figures = {each: [] for each in present}
    for _ in range(rounds):
        for each, values in found.items():
            sizes = []
            for count in (FEW, MANY[each]):
                with started(each, place, count) as one:
                    sizes.append(one.asleep_kib(count))
            values.append((sizes[1] - sizes[0]) / (MANY[each] - FEW) / 1024)
    return found


def row(
    name: str, unit: str, field: tuple[Contender, tuple[Contender, ...]], found: Figures, least: float | None
) -> Row:
    """Put ours beside those that are here."""
    ours, others = field
    middle, spread = median_and_spread(found[ours])
    peers = {each.name: round(median_and_spread(found[each])[0], 2) for each in others if each in found}
    return Row(name, unit, round(middle, 2), peers, least, len(found[ours]), round(spread, 2))


def main(arguments: list[str]) -> None:
    """Measure and print."""
    rounds, part, times = (2, 4, 1) if "--quick" in arguments else (5, 1, 2)
    with venue() as place:
        absent = {each: reason for each in ALL if (reason := place.absent(each)) is not None}
        for each, reason in absent.items():
            print(f"# left out: {each.name}: {reason}", file=sys.stderr)
        present = [each for each in ALL if each not in absent]
        least, least_kib = fork_ms(400), floor_kib(MANY[OURS])
        costs, rates, alone = noops(place, present, rounds, part)
        sizes = sleepers(place, [each for each in (SLEEPERS[0], *SLEEPERS[1]) if each in present], times)
    rows = [row(f"CPU per no-op job, {how}", "ms", field, costs, round(least, 2)) for how, field in FIELDS.items()]
    rows += [row(f"no-op jobs a second, {how}", "1/s", field, rates, None) for how, field in FIELDS.items()]
    rows.append(row("one no-op job alone, until its end is known and its slot free", "ms", EVERYONE, alone, None))
    rows.append(row("memory of a further sleeping job", "MiB", SLEEPERS, sizes, round(least_kib / 1024, 2)))
    emit(rows, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
