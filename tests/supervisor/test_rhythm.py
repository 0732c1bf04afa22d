from typing import NamedTuple

import pytest

from supervisor import rhythm
from supervisor.rhythm import Rhythm, Times, ask_in, shortfall


class Who(NamedTuple):
    dag_id: str = "d"
    task_id: str = "t"


def attempt(*saves: float, asked: float | None = None, ended: float | None = None, task: str = "t") -> Rhythm:
    found = Rhythm(Who("d", task), 0.0)
    for moment in saves:
        found.saved(moment)
    if asked is not None:
        found.asked(asked)
        found.asked(asked + 1)
    if ended is not None:
        found.ended(ended)
    return found


def test_the_longest_time_between_saves_counts_and_the_first_does_not() -> None:
    assert attempt(100).longest is None
    assert attempt(100, 103, 104).longest == 3
    assert attempt(100, 103).since(110) == 7


def test_a_stop_says_how_long_it_took_to_those_that_save() -> None:
    found = attempt(1, 2, asked=10, ended=15)
    assert (found.longest, found.stopping) == (5, True)
    assert attempt(asked=10, ended=15).longest is None
    assert attempt(1, ended=15).longest is None


def test_a_worker_learns_by_task_and_forgets_slowly() -> None:
    times = Times({"d/t": 1.0})
    assert times.needed(attempt()) == 1.5
    times.learn(attempt(0, 10))
    assert times.needed(attempt()) == 15
    times.learn(attempt(0, 1))
    assert times.known == {"d/t": 8.0}
    times.learn(attempt())
    assert times.needed(attempt(0, 20)) == 30
    assert Times().needed(attempt()) is None


def test_it_remembers_so_many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rhythm, "KEPT", 1)
    times = Times({"d/old": 1.0})
    times.learn(attempt(0, 2))
    assert times.known == {"d/t": 2}


@pytest.mark.parametrize(
    ("needed", "left", "own", "delay"),
    [
        (None, 120, None, 95),
        (10.0, 120, None, 110),
        (0.1, 120, None, 119),
        (99.0, 120, None, 21),
        (10.0, 5, None, 0),
        (None, 120, 60.0, 60),
        (99.0, 120, 60.0, 60),
        (10.0, 120, 60.0, 110),
    ],
)
def test_a_stop_is_asked_for_as_late_as_it_fits(
    needed: float | None, left: float, own: float | None, delay: float
) -> None:
    assert ask_in(needed, left, 25.0, own) == delay


def test_what_does_not_fit_is_said() -> None:
    assert shortfall(None, 1) is None
    assert shortfall(1, 1) is None
    assert shortfall(15, 5) == "its checkpoints take 10.0 s, and a stop leaves it 5.0 s: it may be too late"
