"""Every state of every machine has a cell for every event, and the cells say what the machines promise."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from typing import Any

import pytest

from supervisor.machines import CHILD, LEASE, REPORT, Child, ChildEvent, Do, Lease, LeaseEvent, Report, ReportEvent

MACHINES: list[tuple[Mapping[Any, Mapping[Any, Any]], type[StrEnum], type[StrEnum]]] = [
    (CHILD, Child, ChildEvent),
    (REPORT, Report, ReportEvent),
    (LEASE, Lease, LeaseEvent),
]


@pytest.mark.parametrize(("table", "states", "events"), MACHINES)
def test_every_cell_is_filled(
    table: Mapping[Any, Mapping[Any, Any]], states: type[StrEnum], events: type[StrEnum]
) -> None:
    assert {(state, event) for state in table for event in table[state]} == set(product(states, events))


@pytest.mark.parametrize(("table", "states", "events"), MACHINES)
def test_every_state_can_be_reached_from_the_first(
    table: Mapping[Any, Mapping[Any, Any]], states: type[StrEnum], events: type[StrEnum]
) -> None:
    reached = {next(iter(states))}
    while more := {table[state][event][0] for state, event in product(reached, events)} - reached:
        reached |= more
    assert reached == set(states)


@pytest.mark.parametrize(
    ("table", "last"), [(CHILD, {Child.GONE}), (REPORT, {Report.TOLD, Report.CLOSED}), (LEASE, {Lease.OVER})]
)
def test_what_is_over_stays_over(table: Mapping[Any, Mapping[Any, Any]], last: set[Any]) -> None:
    assert {state for state in table if all(cell[0] is state for cell in table[state].values())} == last


def test_the_slot_is_released_exactly_when_the_process_goes() -> None:
    for state, event in product(Child, ChildEvent):
        after, do = CHILD[state][event]
        assert (Do.RELEASE in do) == (after is Child.GONE and state is not Child.GONE)


def test_a_terminal_message_is_told_once_and_refused_ever_after() -> None:
    found = {state: REPORT[state][ReportEvent.SPOKE][1] for state in Report}
    assert found == {state: (Do.TELL,) if state is Report.QUIET else (Do.REFUSE,) for state in Report}


def test_only_a_silent_end_is_reported_by_us() -> None:
    reporting = {
        (state, event) for state, event in product(Report, ReportEvent) if Do.REPORT in REPORT[state][event][1]
    }
    assert reporting == {(Report.QUIET, ReportEvent.ENDED)}
