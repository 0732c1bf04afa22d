"""A keeper that is alone: its table, and its orders."""

import math
from itertools import product

from supervisor.solitude import AGAIN_S, KILL, LINGER_S, LOOK_S, TABLE, TERM, Event, Order, Solitude, State, Tenure


def alone(now: float = 100.0) -> Solitude:
    solitude = Solitude(grace_s=10.0)
    solitude.handle(Event.LOST, now)
    return solitude


def test_every_cell_is_filled() -> None:
    assert {(state, event) for state, row in TABLE.items() for event in row} == set(product(State, Event))


def test_who_serves_kills_only_what_is_past_its_tenure() -> None:
    """Its supervisor would have, if it could."""
    solitude = Solitude(10.0)
    assert solitude.orders([], 99.0) == ([], None)
    children: list[tuple[str, Tenure]] = [("a", (90.0, 100.5)), ("b", (0.0, 103.0)), ("new", None)]
    assert solitude.orders(children, 100.0) == ([], 100.5)
    assert solitude.orders([], 100.4) == ([], 100.5)  # nobody is looked at before
    assert solitude.orders(children, 100.5) == ([Order("a", KILL)], 100.5 + LOOK_S)
    assert solitude.orders(children, 101.5) == ([Order("a", KILL)], 101.5 + LOOK_S)
    assert solitude.orders(children[1:], 102.5) == ([], 103.0)
    assert solitude.orders([("b", (150.0, 160.0)), ("c", (math.inf, math.inf))], 103.0) == ([], 103.0 + LOOK_S)
    assert solitude.state is State.SERVING


def test_a_child_is_asked_when_its_tenure_says_so_and_killed_when_it_is_over() -> None:
    solitude = alone()
    children: list[tuple[str, Tenure]] = [("a", (120.0, 150.0)), ("b", (130.0, 140.0))]
    assert solitude.orders(children, 101.0) == ([], 120.0)
    assert solitude.orders(children, 120.0) == ([Order("a", TERM)], 130.0)
    assert solitude.orders(children, 130.0) == ([Order("b", TERM)], 140.0)
    assert solitude.orders(children, 141.0) == ([Order("b", KILL)], 141.0 + AGAIN_S)
    assert solitude.orders(children[:1], 151.0) == ([Order("a", KILL)], 151.0 + AGAIN_S)
    assert solitude.orders(children[:1], 153.0) == ([Order("a", KILL)], 153.0 + AGAIN_S)
    assert solitude.lingers_until() == 150.0 + LINGER_S


def test_a_child_that_was_not_allowed_yet_has_the_keepers_grace_twice() -> None:
    solitude = alone()
    assert solitude.orders([("a", None)], 109.0) == ([], 110.0)
    assert solitude.orders([("a", None)], 110.0) == ([Order("a", TERM)], 120.0)
    assert solitude.orders([("a", None)], 120.0) == ([Order("a", KILL)], 121.0)


def test_a_supervisor_that_comes_takes_over_and_a_later_loss_counts_anew() -> None:
    solitude = alone()
    assert solitude.orders([("a", (101.0, 110.0))], 102.0)[0] == [Order("a", TERM)]
    solitude.handle(Event.CAME, 103.0)
    assert solitude.orders([("a", (190.0, 210.0))], 200.0) == ([], 200.0 + LOOK_S)
    solitude.handle(Event.LOST, 200.0)
    assert solitude.orders([("a", (250.0, 260.0))], 201.0) == ([], 250.0)
    assert solitude.lingers_until() == 260.0 + LINGER_S


def test_one_that_nobody_can_find_stops_all_at_once() -> None:
    for event in (Event.DESERTED, Event.TOLD):
        solitude = alone(50.0)
        solitude.handle(event, 100.0)
        assert solitude.orders([("a", (1e6, 2e6))], 100.0) == ([Order("a", TERM)], 110.0)
        assert solitude.orders([("a", (1e6, 2e6))], 110.0) == ([Order("a", KILL)], 111.0)
        solitude.handle(Event.CAME, 111.0)
        assert solitude.state is State.LEAVING


def test_one_that_leaves_gives_no_grace_beyond_the_tenure() -> None:
    solitude = Solitude(grace_s=10.0)
    solitude.handle(Event.DESERTED, 100.0)
    children: list[tuple[str, Tenure]] = [("late", (90.0, 104.0)), ("over", (80.0, 99.0)), ("new", None)]
    orders, again = solitude.orders(children, 100.0)
    assert orders == [Order("late", TERM), Order("over", TERM), Order("new", TERM)]
    assert again == 99.0
    assert solitude.orders(children, 100.0)[0] == [Order("over", KILL)]
    assert solitude.orders(children, 104.0)[0] == [Order("late", KILL), Order("over", KILL)]
    assert solitude.orders(children, 110.0)[0] == [Order("late", KILL), Order("over", KILL), Order("new", KILL)]
