"""The truth table is whole: every combination of inputs has a row, and every row a use."""

from itertools import product

import pytest
from msgspec.structs import replace

from protocol.messages.checkpoints import StopReason
from protocol.states import TaskInstanceState
from supervisor.outcome import (
    CAUSES,
    ROWS,
    Cause,
    Exit,
    ExitContract,
    Facts,
    FailureKind,
    Outcome,
    Server,
    Standing,
    Tell,
    decide,
    draw,
    exit_of,
    kind_of,
    outcome_of,
)
from tests.architecture.layout import ROOT

BOTH = (True, False)
GRID = [Facts(*cell) for cell in product(Standing, Exit, Cause, Server, BOTH, BOTH, BOTH)]
PAGE = ROOT / "docs" / "outcomes.md"
INTERRUPTIONS = {Cause.INTERRUPTED, Cause.FENCED}


def test_every_combination_has_a_row_and_every_row_a_use() -> None:
    assert {decide(facts).row for facts in GRID} == {row.verdict.row for row in ROWS}


def test_rows_have_names_of_their_own() -> None:
    assert len({row.verdict.row for row in ROWS}) == len(ROWS)


def test_every_stop_reason_is_a_cause() -> None:
    assert set(CAUSES) == set(StopReason)


def test_what_was_said_and_told_stands_whatever_happened_after_it() -> None:
    rows = {decide(f).row for f in GRID if f.standing is Standing.TOLD and f.server is not Server.REFUSED}
    assert rows == {"said and told"}


def test_a_server_that_gave_the_attempt_up_is_told_nothing() -> None:
    assert {decide(f).tell for f in GRID if f.server is not Server.WILLING} == {Tell.NOTHING}


def test_everything_else_is_told_exactly_when_it_was_not_told_before() -> None:
    willing = [f for f in GRID if f.server is Server.WILLING]
    assert all((decide(f).tell is Tell.NOTHING) == (f.standing is Standing.TOLD) for f in willing)


def test_a_silent_stop_never_ends_as_success() -> None:
    silent = [f for f in GRID if f.standing is Standing.SILENT and f.cause is not Cause.NONE]
    assert Outcome.SUCCESS not in {decide(f).outcome for f in silent}


def test_success_without_a_word_needs_exit_0_a_contract_and_no_stop() -> None:
    found = [f for f in GRID if decide(f).outcome is Outcome.SUCCESS]
    assert found
    assert all(f.exit is Exit.ZERO and f.zero_is_success and f.cause is Cause.NONE for f in found)


def test_a_retry_is_told_only_when_one_is_left() -> None:
    assert all(f.retries_left for f in GRID if decide(f).tell is Tell.RETRY)


def test_an_interruption_spends_no_retry() -> None:
    for facts in GRID:
        if facts.standing is Standing.SILENT and facts.server is Server.WILLING and facts.cause in INTERRUPTIONS:
            verdict = decide(facts)
            contracted = facts.exit in {Exit.SKIP_CODE, Exit.RETRY_CODE, Exit.FAIL_CODE}
            assert contracted or verdict.outcome in {Outcome.CHECKPOINTED, Outcome.UP_FOR_RESCHEDULE}


def test_out_of_memory_is_never_guessed_from_a_signal() -> None:
    assert all(f.exit is Exit.OOM for f in GRID if decide(f).kind is FailureKind.OOM)


@pytest.mark.parametrize(
    ("code", "signal", "out_of_memory", "expected"),
    [
        (0, None, False, Exit.ZERO),
        (85, None, False, Exit.CHECKPOINT_CODE),
        (99, None, False, Exit.SKIP_CODE),
        (75, None, False, Exit.RETRY_CODE),
        (5, None, False, Exit.CODE),
        (None, 9, False, Exit.SIGNAL),
        (None, 9, True, Exit.OOM),
        (None, None, False, Exit.LOST),
    ],
)
def test_exit_statuses_are_classed(code: int | None, signal: int | None, out_of_memory: bool, expected: Exit) -> None:  # noqa: FBT001 - a column of the table above
    assert exit_of(code, signal, ExitContract(zero_is_success=True), out_of_memory=out_of_memory) is expected


def test_a_contract_may_name_codes_of_its_own() -> None:
    assert exit_of(3, None, ExitContract(zero_is_success=True, codes={3: Exit.FAIL_CODE})) is Exit.FAIL_CODE


def test_the_outcome_is_the_verdicts_own_or_what_was_said() -> None:
    silent = next(f for f in GRID if f.exit is Exit.CODE and not f.retries_left and decide(f).row == "code")
    told = decide(replace(silent, standing=Standing.TOLD))
    assert outcome_of(told, TaskInstanceState.DEFERRED) is Outcome.DEFERRED
    assert outcome_of(decide(silent), None) is Outcome.FAILED
    with pytest.raises(ValueError, match="said and told"):
        outcome_of(told, None)


def test_a_failure_that_the_task_told_of_is_the_applications() -> None:
    told = next(row.verdict for row in ROWS if row.verdict.row == "said and told")
    assert kind_of(told, Outcome.FAILED) is FailureKind.APP
    assert kind_of(told, Outcome.UP_FOR_RETRY) is FailureKind.APP
    assert kind_of(told, Outcome.SUCCESS) is None
    evicted = next(row.verdict for row in ROWS if row.verdict.row == "evicted")
    assert kind_of(evicted, Outcome.UP_FOR_RESCHEDULE) is FailureKind.EVICTED


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == draw(), "python -m tests.supervisor.test_outcome"


if __name__ == "__main__":
    PAGE.write_text(draw())
