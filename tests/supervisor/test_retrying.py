from datetime import UTC, datetime

import pytest

from supervisor.retrying import (
    ONCE,
    OUTAGE,
    UNTIL_ANSWERED,
    Fault,
    RetryPolicy,
    Trial,
    known_already,
    own_doing,
    pause,
    retry_after,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RetryPolicy(tries=3, patience_s=60.0, first_s=1.0, longest_s=8.0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_a_refusal_is_not_asked_again(status: int) -> None:
    assert pause(POLICY, Trial(1, 0.0, status), 0.0) is None


@pytest.mark.parametrize("status", sorted(OUTAGE))
def test_an_outage_is_waited_out(status: int) -> None:
    assert pause(POLICY, Trial(1, 0.0, status), 0.0) == 0.5
    assert pause(POLICY, Trial(50, 59.0, status), 0.0) == 4.0
    assert pause(POLICY, Trial(50, 60.0, status), 0.0) is None


@pytest.mark.parametrize("fault", Fault)
def test_so_is_a_network_that_fails(fault: Fault) -> None:
    assert pause(POLICY, Trial(1, 0.0, fault=fault), 1.0) == 1.0
    assert pause(RetryPolicy(), Trial(10_000, 1e9, fault=fault), 0.0) is not None


@pytest.mark.parametrize("status", [500, 501])
def test_an_error_of_the_servers_own_is_tried_a_few_times(status: int) -> None:
    assert pause(POLICY, Trial(2, 0.0, status), 0.0) == 1.0
    assert pause(POLICY, Trial(3, 0.0, status), 0.0) is None
    assert pause(UNTIL_ANSWERED, Trial(10_000, 1e9, status), 0.0) is not None


def test_once_is_once() -> None:
    assert pause(ONCE, Trial(1, 0.1, 500), 0.0) is None
    assert pause(ONCE, Trial(1, 0.1, fault=Fault.UNSENT), 0.0) is None


def test_pauses_grow_to_the_longest_and_are_jittered() -> None:
    assert [pause(POLICY, Trial(n, 0.0, 503), 1.0) for n in range(1, 6)] == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert pause(POLICY, Trial(5, 0.0, 503), 0.5) == 6.0


def test_the_server_may_say_when_but_not_for_ever() -> None:
    assert pause(POLICY, Trial(1, 0.0, 429, retry_after_s=7.0), 0.5) == 7.5
    assert pause(POLICY, Trial(1, 0.0, 503, retry_after_s=1e9), 0.0) == 60.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("-3", 0.0),
        ("Thu, 01 Jan 2026 00:00:10 GMT", 10.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


@pytest.mark.parametrize(("status", "before", "own"), [(409, True, True), (409, False, False), (403, True, False)])
def test_a_conflict_after_a_lost_answer_is_our_own_doing(status: int, before: bool, own: bool) -> None:  # noqa: FBT001 - columns of the table above
    assert own_doing(status, unanswered_before=before) is own


@pytest.mark.parametrize(
    ("in_force", "own", "extended", "known"),
    [
        ("success", False, True, True),
        ("failed", True, False, True),
        ("failed", True, True, False),
        (None, True, False, True),
        (None, False, False, False),
    ],
)
def test_only_a_server_that_cannot_say_so_is_believed_to_have_it(
    in_force: str | None,
    own: bool,  # noqa: FBT001 - columns of the table above
    extended: bool,  # noqa: FBT001 - as above
    known: bool,  # noqa: FBT001 - as above
) -> None:
    assert known_already("success", in_force, own=own, extended=extended) is known
