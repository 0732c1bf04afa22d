from itertools import product
from pathlib import Path

import pytest

from protocol.states import FINISHED, FOLLOWS, TaskInstanceState
from server.rules import TABLE, Effect, Event, Mark, Move, draw, follow, sources

State = TaskInstanceState
BY_HAND = {Event.CLEAR, Event.CLEAR_LINGERING, Event.MARK_SUCCESS, Event.MARK_FAILED, Event.MARK_SKIPPED}
"""People may move any instance anywhere."""
AFTERWARDS = {Event.REMAP}
"""And this undoes what clearing led to."""
WIRE_ONLY = {(State.RUNNING, Event.TOLD_UPSTREAM_FAILED)}
"""Airflow's wire lets an attempt say this of itself; no attempt of ours does."""

MOVES = {pair: cell for pair, cell in TABLE.items() if isinstance(cell, Move)}


def test_every_state_and_event_has_its_cell() -> None:
    assert set(product(State, Event)) == set(TABLE)


def test_no_move_is_one_that_the_protocol_does_not_know() -> None:
    surplus = {
        (pair, cell.to)
        for pair, cell in MOVES.items()
        if pair[1] not in BY_HAND | AFTERWARDS
        and pair not in WIRE_ONLY
        and cell.to is not pair[0]
        and cell.to not in FOLLOWS[pair[0]]
    }
    assert surplus == set()


def test_what_is_finished_stays_so_unless_a_person_wants_otherwise() -> None:
    assert {event for (state, event) in MOVES if state in FINISHED} == BY_HAND | AFTERWARDS


@pytest.mark.parametrize("event", [event for event in Event if event.startswith("told_")])
def test_an_outcome_told_again_is_known(event: Event) -> None:
    move = follow(State.RUNNING, event)
    if isinstance(move, Move):
        assert follow(move.to, event) is Mark.AGAIN


def test_a_replaced_attempt_is_archived_and_an_archived_one_is_replaced() -> None:
    replacing = {State.UP_FOR_RETRY, State.CHECKPOINTED, State.SCHEDULED}
    for cell in MOVES.values():
        assert (Effect.ARCHIVE in cell.effects) == (cell.to in replacing)


def test_a_try_is_spent_only_by_a_failure() -> None:
    spending = {pair for pair, cell in MOVES.items() if Effect.SPEND in cell.effects}
    assert spending == {(State.RUNNING, Event.TOLD_RETRY), (State.RUNNING, Event.LOST_RETRY)}


def test_only_a_claim_leaves_the_line_without_leaving_the_state() -> None:
    claim, over = follow(State.QUEUED, Event.CLAIM), follow(State.QUEUED, Event.CLAIM_OVER)
    assert claim == Move(State.QUEUED, frozenset({Effect.LEASE}))
    assert over == Move(State.QUEUED, frozenset({Effect.RELEASE, Effect.QUEUE}))


def test_a_cleared_running_attempt_is_replaced_only_when_it_is_gone() -> None:
    assert follow(State.RUNNING, Event.CLEAR) == Move(State.RESTARTING, frozenset())
    for event in (Event.TOLD_TERMINATED, Event.LOST_FAIL, Event.LOST_RETRY, Event.LOST_RESUME):
        cell = follow(State.RESTARTING, event)
        assert isinstance(cell, Move)
        assert cell.to is State.SCHEDULED
        assert Effect.ARCHIVE in cell.effects


@pytest.mark.parametrize("event", [Event.KILL, Event.FAIL_FAST, Event.MARK_SUCCESS])
def test_what_is_ended_over_its_workers_head_keeps_its_slot(event: Event) -> None:
    for state in State:
        cell = follow(state, event)
        if isinstance(cell, Move):
            assert (Effect.RELEASE in cell.effects) == (state not in {State.RUNNING, State.RESTARTING})


def test_sources_are_the_moves_of_an_event() -> None:
    assert set(sources(Event.WAIT_OVER)) == {State.DEFERRED, State.AWAITING_INPUT}


def test_the_drawing_is_fresh() -> None:
    page = Path(__file__).parent.parent.parent / "docs" / "server-states.md"
    assert page.read_text() == draw(), (
        "python -c 'from server.rules import draw; print(draw(), end=\"\")' > docs/server-states.md"
    )
