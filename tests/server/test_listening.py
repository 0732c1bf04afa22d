from datetime import UTC, datetime, timedelta

import pytest

from server.listening import Listening

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_nothing_was_heard_before_the_first_pulse() -> None:
    assert Listening(seconds(5)).missed(NOON)


@pytest.mark.parametrize(("later", "missed"), [(0, 0), (2, 0), (7, 0), (7.1, 1), (3600, 1), (-5, 0), (-5.1, 1)])
def test_a_pulse_is_missed_when_it_is_late_or_the_clock_was_set(later: float, missed: int) -> None:
    listening = Listening(seconds(5))
    listening.heard(NOON, seconds(2))
    assert listening.missed(NOON + seconds(later)) == bool(missed)
