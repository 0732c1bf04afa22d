from datetime import UTC, datetime, timedelta

import pytest

from supervisor.victims import Candidate, choose, end_of, pressure

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BASE = Candidate(retriable=True, checkpointing=True, memory=1 << 30, lost_s=10)


@pytest.mark.parametrize(
    "worse",
    [
        Candidate(retriable=False, checkpointing=True, memory=1 << 40, lost_s=0),
        Candidate(retriable=True, checkpointing=False, memory=1 << 40, lost_s=0),
        Candidate(retriable=True, checkpointing=True, memory=1 << 20, lost_s=0),
        Candidate(retriable=True, checkpointing=True, memory=(1 << 30) + 5, lost_s=11),
    ],
)
def test_the_best_victim_loses_least(worse: Candidate) -> None:
    assert choose({"worse": worse, "base": BASE}) == choose({"base": BASE, "worse": worse}) == "base"


def test_without_attempts_there_is_none() -> None:
    assert choose({}) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("some avg10=9.00 avg60=0 avg300=0 total=1\nfull avg10=12.50 avg60=0 avg300=0 total=1\n", 12.5),
        ("some avg10=9.00 avg60=0 avg300=0 total=1\n", None),
        ("full avg60=0", None),
        ("", None),
    ],
)
def test_pressure_is_the_share_of_time_in_which_all_stood_still(text: str, found: float | None) -> None:
    assert pressure(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-01-02T03:06:05Z\n", NOW + timedelta(minutes=2)),
        ("2026-01-02T03:06:05", NOW + timedelta(minutes=2)),
        (str(NOW.timestamp() + 120), NOW + timedelta(minutes=2)),
        ('{"action": "terminate", "time": "2026-01-02T03:06:05Z"}', NOW + timedelta(minutes=2)),
        ('{"action": "terminate"}', None),
        ("{broken", None),
        ("TRUE", NOW + timedelta(seconds=30)),
        ("FALSE", None),
        ("1e300", None),
        ("", None),
    ],
)
def test_the_end_of_a_machine_is_said_in_several_ways(text: str, found: datetime | None) -> None:
    assert end_of(text, NOW, 30.0) == found
