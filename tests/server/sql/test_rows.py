from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from server.sql.rows import fresh_id, micros, moment

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_comes_back_exactly(value: datetime) -> None:
    assert moment(micros(value)) == value


def test_a_moment_of_another_zone_is_the_same_moment() -> None:
    assert moment(micros(NOW.astimezone(timezone(timedelta(hours=5))))) == NOW


def test_ids_are_uuids_of_version_7_in_the_order_of_time() -> None:
    made = [fresh_id(NOW + timedelta(milliseconds=number)) for number in range(100)]
    assert made == sorted(made)
    assert {(UUID(one).version, UUID(one).variant, str(UUID(one)) == one) for one in made} == {
        (7, "specified in RFC 4122", True)
    }
    assert len({fresh_id(NOW) for _ in range(1000)}) == 1000
