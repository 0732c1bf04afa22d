"""The circuit: what opens it, who probes, what closes it, and how little is asked meanwhile."""

from itertools import product

import pytest

from supervisor.circuit import SETTLED, TABLE, Circuit, CircuitPolicy, Event, State, Step

POLICY = CircuitPolicy(faults=3, first_s=1.0, longest_s=8.0, each_s=0.01, spread_s=2.0)


def circuit(faults: int = 0) -> Circuit:
    found = Circuit(b"seed", POLICY)
    for _ in range(faults):
        found.failed(100.0, probe=False)
    return found


def state(found: Circuit) -> State:
    return found.state


def test_every_cell_is_filled() -> None:
    assert {(state, event) for state in TABLE for event in TABLE[state]} == set(product(State, Event))


def test_whatever_is_answered_closes_it_and_nothing_else_does() -> None:
    closing = {(state, event) for state, event in product(State, Event) if TABLE[state][event][0] is State.CLOSED}
    assert closing - {(State.CLOSED, event) for event in Event} == {(s, Event.ANSWERED) for s in State} - {
        (State.CLOSED, Event.ANSWERED)
    }
    assert [TABLE[state][Event.ANSWERED][1] for state in State] == [Step.NOTHING, Step.RELEASE, Step.RELEASE]


def test_faults_in_a_row_open_it_and_an_answer_in_between_starts_the_row_anew() -> None:
    found = circuit(2)
    assert state(found) is State.CLOSED
    assert not found.answered(100.0)
    for _ in range(2):
        found.failed(100.0, probe=False)
    assert state(found) is State.CLOSED
    found.failed(100.0, probe=False)
    assert state(found) is State.OPEN
    assert 100.5 <= found.until <= 101.0


def test_one_goes_as_the_probe_when_the_pause_is_over_and_no_other_until_it_is_heard_of() -> None:
    found = circuit(3)
    assert not found.due(found.until - 0.01)
    assert found.due(found.until)
    assert state(found) is State.HALF_OPEN
    assert not found.due(102.0)
    found.failed(102.0, probe=False)  # one that was under way before: no news
    assert state(found) is State.HALF_OPEN
    found.failed(102.0, probe=True)
    assert state(found) is State.OPEN
    assert 103.0 <= found.until <= 104.0


def test_a_probe_that_is_not_heard_of_holds_nobody_up() -> None:
    found = circuit(3)
    now = found.until
    assert found.due(now)
    assert not found.due(now + 7.9)
    assert found.due(now + 8.0)


def test_an_answer_lets_all_go_spread_over_a_little_time() -> None:
    found = circuit(3)
    assert found.due(found.until)
    assert found.answered(101.0)
    assert state(found) is State.CLOSED
    few, many = found.spread(10), found.spread(2000)
    assert 0.0 <= min(few) <= max(few) < 0.1
    assert 1.9 < max(many) < 2.0
    assert len(set(many)) > 1990
    found.failed(101.0, probe=True)  # a second probe, which was not heard of: one fault of three
    assert state(found) is State.CLOSED


def pauses(found: Circuit, now: float, count: int) -> tuple[list[float], float]:
    spans = []
    for _ in range(count):
        spans.append(found.until - now)
        now = found.until
        assert found.due(now)
        found.failed(now, probe=True)
    return spans, now


def test_pauses_grow_to_the_longest_and_begin_anew_with_a_new_outage() -> None:
    found = circuit(3)
    spans, now = pauses(found, 100.0, 12)
    for span, most in zip(spans, [1, 2, 4, 8, *[8] * 8], strict=True):
        assert most / 2 <= span <= most
    found.answered(now)
    later = now + SETTLED * POLICY.longest_s + 0.1
    for _ in range(3):
        found.failed(later, probe=False)
    assert found.until - later <= 1.0


def test_who_is_back_for_a_moment_only_is_not_asked_more_often_for_it() -> None:
    found = circuit(3)
    _, now = pauses(found, 100.0, 6)
    for _ in range(5):
        found.answered(now)
        for _ in range(3):
            found.failed(now, probe=False)
        assert found.until - now >= 4.0
        now = found.until


@pytest.mark.parametrize("away_s", [60.0, 600.0])
def test_an_outage_costs_a_handful_of_probes_however_many_wait(away_s: float) -> None:
    found, now, probes = Circuit(b"seed"), 0.0, 0
    for _ in range(200):
        found.failed(now, probe=False)
    while now < away_s:
        now = found.until
        probes += found.due(now)
        found.failed(now, probe=True)
    assert probes < away_s / 1.5 + 5


def test_a_probe_that_was_never_made_is_another_ones_at_once() -> None:
    found = circuit(3)
    until = found.until
    found.unused(100.1)  # there was none
    assert found.until == until
    assert found.due(until)
    found.unused(until)
    assert found.due(until)
    assert state(found) is State.HALF_OPEN
