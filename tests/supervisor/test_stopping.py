import pytest

from protocol.messages.checkpoints import StopReason
from supervisor.stopping import (
    CAPTURE,
    KILL,
    KILL_S,
    MANNERS,
    TERM,
    Graces,
    Manner,
    Rung,
    begin,
    climb,
    hasten,
    rungs_of,
)

GRACES = Graces()


def test_every_reason_has_a_manner() -> None:
    assert set(MANNERS) == set(StopReason)


def test_graces_are_nested_and_fit_the_thirty_seconds_of_a_pod() -> None:
    assert GRACES.task_s < GRACES.worker_s < GRACES.pod_s == 30.0


def test_a_tiny_pod_leaves_no_negative_grace() -> None:
    assert Graces(pod_s=1.0).task_s == 0.0


@pytest.mark.parametrize("manner", Manner)
def test_every_ladder_ends_with_a_kill_and_fits_the_task_s_grace(manner: Manner) -> None:
    rungs = rungs_of(manner, GRACES)
    assert rungs[-1].signal == KILL
    assert sum(rung.patience_s for rung in rungs if rung.signal == TERM) <= GRACES.task_s


@pytest.mark.parametrize(
    ("manner", "signals"),
    [
        (Manner.PATIENT, [TERM, CAPTURE, KILL]),
        (Manner.SHORT, [CAPTURE, TERM, KILL]),
        (Manner.BRISK, [TERM, KILL]),
        (Manner.AT_ONCE, [KILL]),
    ],
)
def test_the_ladders(manner: Manner, signals: list[int]) -> None:
    assert [rung.signal for rung in rungs_of(manner, GRACES)] == signals


def test_a_task_may_ask_for_less_than_its_grace_and_not_for_more() -> None:
    assert rungs_of(Manner.PATIENT, GRACES, 3.0)[0] == Rung(TERM, 3.0)
    assert rungs_of(Manner.PATIENT, GRACES, 300.0)[0] == Rung(TERM, GRACES.task_s)
    assert rungs_of(Manner.SHORT, GRACES, 1.0)[1] == Rung(TERM, 1.0)


def test_a_stop_that_knows_how_much_it_leaves_may_leave_more_than_the_nested_grace() -> None:
    assert rungs_of(Manner.PATIENT, GRACES, None, 90.0)[0] == Rung(TERM, 90.0)
    assert rungs_of(Manner.PATIENT, GRACES, 60.0, 90.0)[0] == Rung(TERM, 60.0)
    assert rungs_of(Manner.PATIENT, GRACES, 60.0, 2.0)[0] == Rung(TERM, 2.0)
    assert rungs_of(Manner.SHORT, GRACES, None, 90.0)[1] == Rung(TERM, GRACES.short_s)


def test_a_ladder_is_climbed_rung_by_rung_and_its_last_one_again() -> None:
    stop = begin((Rung(TERM, 2.0), Rung(KILL, 1.0)), 10.0)
    assert (stop.signal, stop.until, stop.deadline) == (TERM, 12.0, 12.0)
    stop = climb(stop, 12.0)
    assert (stop.signal, stop.until) == (KILL, 13.0)
    stop = climb(stop, 13.0)
    assert (stop.signal, stop.until) == (KILL, 13.0 + KILL_S)


def test_hurry_shortens_and_never_lengthens() -> None:
    stop = begin((Rung(TERM, 20.0), Rung(KILL, 1.0)), 0.0)
    hurried = hasten(stop, 5.0, 2.0)
    assert (hurried.until, hurried.deadline, hurried.rungs) == (7.0, 7.0, stop.rungs)
    assert hasten(hurried, 5.0, 60.0) == hurried
