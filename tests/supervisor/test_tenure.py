import pytest

from supervisor.stopping import CAPTURE_S, Manner
from supervisor.tenure import Leasehold, Outage, Tenure, manner_of, tenure


@pytest.mark.parametrize(
    ("lease_s", "grace_s", "outage", "begin", "gone_by"),
    [
        (300.0, 25.0, Outage(), 273.0, 298.0),
        (30.0, 25.0, Outage(), 20.0, 28.0),
        (3.0, 25.0, Outage(), 2.0, 2.8),
        (300.0, 25.0, Outage("stop_after", 60.0), 60.0, 298.0),
        (300.0, 25.0, Outage("checkpoint_after", 3600.0), 273.0, 298.0),
    ],
)
def test_it_begins_to_stop_a_grace_early_and_is_gone_a_margin_early(
    lease_s: float, grace_s: float, outage: Outage, begin: float, gone_by: float
) -> None:
    found = tenure(100.0, lease_s, grace_s, outage)
    assert found.begin == pytest.approx(100.0 + begin)
    assert found.gone_by == pytest.approx(100.0 + gone_by)


def test_what_is_left_is_the_grace_and_never_less_than_none() -> None:
    found = Tenure(20.0, 28.0, 25.0)
    assert found.grace_s(20.0) == 8.0 - CAPTURE_S
    assert found.grace_s(-100.0) == 25.0
    assert found.grace_s(30.0) == 0.0


def test_how_to_stop_is_the_policy_s() -> None:
    found = [manner_of(Outage(policy)) for policy in ("keep", "stop_after", "checkpoint_after")]
    assert found == [None, Manner.BRISK, Manner.PATIENT]


def test_a_leasehold_counts_from_each_beat_and_hurries_after_a_lost_one() -> None:
    held = Leasehold(Outage(), 25.0, 60.0, b"seed")
    held.grant(30.0)
    assert [held.now, held.renew(100.0), held.now] == [None, *[tenure(100.0, 30.0, 25.0, Outage())] * 2]
    first, lost, taken = (held.next_beat(0.0, answered=answered) for answered in (True, False, True))
    assert 3.75 <= first <= 7.5
    assert 2.0 <= lost <= 3.0
    assert 6.0 <= taken <= 9.0
