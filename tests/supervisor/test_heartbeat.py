import pytest

from supervisor.heartbeat import JITTER, SOONEST_S, Word, again, answer_within, chance, interval, meaning, next_beat
from supervisor.tenure import Outage, tenure


@pytest.mark.parametrize(
    ("status", "understood", "word"),
    [
        (204, False, Word.LIVES),
        (200, True, Word.LIVES),
        (404, True, Word.REFUSED),
        (409, True, Word.REFUSED),
        (410, True, Word.REFUSED),
        (404, False, Word.NOTHING),  # a proxy's page
        (409, False, Word.NOTHING),
        (401, True, Word.NOTHING),
        (403, True, Word.NOTHING),
        (500, True, Word.NOTHING),
        (301, False, Word.NOTHING),
        (None, False, Word.NOTHING),
    ],
)
def test_what_an_answer_says(status: int | None, understood: bool, word: Word) -> None:  # noqa: FBT001 - a column of the table above
    assert meaning(status, understood=understood) is word


def test_many_tries_fit_between_a_lost_beat_and_the_fence() -> None:
    lease_s = 30.0
    worst = (interval(lease_s, 60.0) + 4 * again(lease_s, 60.0)) * (1 + JITTER)
    assert worst <= tenure(0.0, lease_s, 25.0, Outage()).begin + 1.0
    assert again(300.0, 10.0) == 10.0


def test_a_beat_that_hangs_leaves_time_for_others() -> None:
    lease_s = 30.0
    hanging = (interval(lease_s, 60.0) + again(lease_s, 60.0)) * (1 + JITTER) + answer_within(lease_s, 10.0)
    assert hanging < tenure(0.0, lease_s, 25.0, Outage()).begin
    assert [answer_within(each, 10.0) for each in (30.0, 300.0, 0.0)] == [5.0, 10.0, SOONEST_S]


def test_the_interval_is_a_share_of_the_lease_or_what_is_wished() -> None:
    assert interval(30.0, 60.0) == 7.5
    assert interval(300.0, 5.0) == 5.0
    assert interval(0.0, 5.0) == SOONEST_S


def test_who_stops_after_a_short_silence_is_heard_often_enough_for_it() -> None:
    assert interval(300.0, 10.0, 8.0) == 2.0
    assert again(300.0, 10.0, 12.0) == 1.0
    assert interval(30.0, 10.0, 600.0) == 7.5


def test_beats_are_jittered_within_bounds_and_differ_between_attempts() -> None:
    moments = {next_beat(0.0, 10.0, bytes([seed]), number) for seed in range(50) for number in range(1, 5)}
    assert len(moments) > 190
    assert all(10.0 * (1 - JITTER) <= moment <= 10.0 * (1 + JITTER) for moment in moments)


def test_the_first_beat_is_not_at_once_and_spread_over_half_the_interval() -> None:
    moments = [next_beat(0.0, 10.0, seed.to_bytes(2, "big"), 0) for seed in range(200)]
    assert 5.0 <= min(moments) < 5.5
    assert 9.5 < max(moments) <= 10.0


def test_chance_is_in_its_bounds_and_repeatable() -> None:
    assert all(0 <= chance(b"x", number) < 1 for number in range(100))
    assert chance(b"x", 1) == chance(b"x", 1)
