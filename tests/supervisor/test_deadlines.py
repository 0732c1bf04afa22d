from itertools import product

import pytest

from supervisor.deadlines import RULES, Deadline, Deadlines, Limits, Moment, Rule

ALL = Limits(boot_s=1.0, execution_s=2.0, progress_s=3.0, overtime_s=4.0)


def test_every_cell_is_filled() -> None:
    assert {(moment, deadline) for moment in RULES for deadline in RULES[moment]} == set(product(Moment, Deadline))


def test_nothing_is_left_when_the_process_is_gone() -> None:
    assert set(RULES[Moment.GONE].values()) == {Rule.CLEAR}


def due_after(*moments: Moment, limits: Limits = ALL) -> list[Deadline]:
    deadlines = Deadlines(limits)
    for moment in moments:
        deadlines.apply(moment, 10.0)
    return deadlines.due(100.0)


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ([Moment.SPAWNED], []),
        ([Moment.STARTED], [Deadline.BOOT, Deadline.EXECUTION, Deadline.PROGRESS]),
        ([Moment.STARTED, Moment.HEARD], [Deadline.EXECUTION, Deadline.PROGRESS]),
        ([Moment.STARTED, Moment.HEARD, Moment.SPOKE], []),
        ([Moment.STARTED, Moment.HEARD, Moment.SPOKE, Moment.TOLD], [Deadline.OVERTIME]),
        ([Moment.STARTED, Moment.HEARD, Moment.SPOKE, Moment.DECLINED], [Deadline.EXECUTION, Deadline.PROGRESS]),
        ([Moment.STARTED, Moment.HEARD, Moment.STOPPED], []),
        ([Moment.STARTED, Moment.HUNG_UP], [Deadline.EXECUTION, Deadline.PROGRESS, Deadline.OVERTIME]),
        ([Moment.STARTED, Moment.HEARD, Moment.GONE], []),
    ],
)
def test_what_waits_after_what(moments: list[Moment], expected: list[Deadline]) -> None:
    assert due_after(*moments) == expected


def test_a_sign_of_life_sets_the_progress_deadline_anew() -> None:
    deadlines = Deadlines(ALL)
    deadlines.apply(Moment.HEARD, 0.0)
    deadlines.apply(Moment.PROGRESSED, 2.0)
    assert deadlines.next() == 5.0


def test_no_limit_is_never_due() -> None:
    assert due_after(Moment.STARTED, limits=Limits(boot_s=None)) == []


def test_what_came_due_is_given_once_and_in_order() -> None:
    deadlines = Deadlines(ALL)
    deadlines.set(Deadline.BEAT, 3.0)
    deadlines.set(Deadline.LEASE, 2.0)
    deadlines.set(Deadline.PATIENCE, 9.0)
    assert deadlines.next() == 2.0
    assert deadlines.due(3.0) == [Deadline.LEASE, Deadline.BEAT]
    assert deadlines.due(3.0) == []
    deadlines.clear(Deadline.PATIENCE)
    assert deadlines.next() is None


def test_a_limit_may_be_changed() -> None:
    deadlines = Deadlines(Limits(boot_s=None))
    deadlines.limit(Deadline.EXECUTION, 7.0)
    deadlines.apply(Moment.STARTED, 1.0)
    assert deadlines.next() == 8.0
    assert (deadlines.span(Deadline.EXECUTION), deadlines.span(Deadline.BEAT)) == (7.0, None)


def test_one_that_is_not_set_has_not_passed() -> None:
    deadlines = Deadlines(Limits())
    assert not deadlines.passed(Deadline.LEASE, 1e9)
    deadlines.set(Deadline.LEASE, 5.0)
    assert [deadlines.passed(Deadline.LEASE, now) for now in (4.9, 5.0)] == [False, True]
