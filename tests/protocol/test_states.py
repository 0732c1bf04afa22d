from itertools import product

import pytest

from protocol.states import FINISHED, FOLLOWS, RUNNER_END, SUPERVISOR_END, Table, Talk, TaskInstanceState, Turn, Verdict


def test_every_state_has_its_row() -> None:
    assert set(FOLLOWS) == set(TaskInstanceState)


def test_what_is_finished_is_followed_by_nothing_and_everything_else_goes_on() -> None:
    assert {state for state, following in FOLLOWS.items() if not following} == FINISHED


def test_a_checkpointed_instance_is_unfinished_and_resumes() -> None:
    assert TaskInstanceState.CHECKPOINTED in FOLLOWS[TaskInstanceState.RUNNING]
    assert TaskInstanceState.CHECKPOINTED not in FINISHED
    assert TaskInstanceState.SCHEDULED in FOLLOWS[TaskInstanceState.CHECKPOINTED]


def test_every_unfinished_state_leads_to_an_end() -> None:
    def leads(state: TaskInstanceState, seen: frozenset[TaskInstanceState]) -> bool:
        return state in FINISHED or any(leads(next_, seen | {state}) for next_ in FOLLOWS[state] - seen)

    assert all(leads(state, frozenset()) for state in TaskInstanceState)


@pytest.mark.parametrize("table", [SUPERVISOR_END, RUNNER_END])
def test_every_cell_is_filled(table: Table) -> None:
    assert {(talk, turn) for talk, row in table.items() for turn in row} == set(product(Talk, Turn))


@pytest.mark.parametrize("table", [SUPERVISOR_END, RUNNER_END])
def test_after_the_end_nothing_that_is_heard_counts(table: Table) -> None:
    for talk in (Talk.CLOSED, Talk.BROKEN):
        assert not any(isinstance(cell, Talk) for cell in table[talk].values())
        assert table[talk][Turn.FAULT] is Verdict.IGNORE


def test_nobody_speaks_before_the_greeting() -> None:
    assert SUPERVISOR_END[Talk.UNGREETED][Turn.QUESTION] is Verdict.THEIR_FAULT
    assert RUNNER_END[Talk.UNGREETED][Turn.QUESTION] is Verdict.OUR_FAULT
