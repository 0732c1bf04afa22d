from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from protocol.errors import LocalProtocolError
from protocol.messages.variables import GetVariable, MaskSecret
from protocol.values import encode, encode_json, iso_duration, seconds, to_body


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (datetime(2026, 1, 1, 23, 43, 49, 678_900, tzinfo=UTC), "d7ffa1dcd4206957 05a5"),
        (datetime(2026, 1, 2, 1, 43, 49, 678_900, tzinfo=timezone(timedelta(hours=2))), "d7ffa1dcd4206957 05a5"),
        (datetime(1970, 1, 1, tzinfo=UTC), "d6ff00000000"),
        (datetime(2600, 1, 1, tzinfo=UTC), "c70cff00000000 00000004a1 1e0d80"),
    ],
)
def test_an_aware_datetime_is_a_timestamp_in_utc(value: datetime, wire: str) -> None:
    assert msgspec.msgpack.decode(encode(value)) == value
    assert encode(value)[:2].hex() == wire[:4]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),  # noqa: DTZ001 - a naive one is what is tested
        (UUID("01A1F76D-B884-70AF-ADC6-1A4BD7BDD018"), "01a1f76d-b884-70af-adc6-1a4bd7bdd018"),
        (timedelta(minutes=5), "PT300S"),
        (Path("/tmp/x"), "/tmp/x"),  # noqa: S108 - no file is made
        (Colour.RED, "red"),
        ((1, 2), [1, 2]),
        ({1}, [1]),
        (b"\x00\xff", b"\x00\xff"),
        (2**64 - 1, 2**64 - 1),
        (-(2**63), -(2**63)),
        (float("inf"), float("inf")),
    ],
)
def test_each_value_has_its_form(value: object, plain: object) -> None:
    assert msgspec.msgpack.decode(encode(value)) == plain


class Hostile:
    def __getattr__(self, name: str) -> object:
        raise KeyError(name)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, object(), {"deep": [object()]}, lambda: None])
def test_what_has_no_form_is_our_own_fault(value: object) -> None:
    with pytest.raises(LocalProtocolError, match="cannot encode"):
        encode(value)


def test_an_object_that_raises_when_looked_at_is_our_own_fault_too() -> None:
    with pytest.raises(LocalProtocolError, match="a Hostile has no form on the wire"):
        encode([Hostile()])


def test_json_has_forms_for_what_the_wire_has() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    assert encode_json({"at": moment, "raw": b"\x00", "path": Path("a")}) == (
        b'{"at":"2026-01-02T00:00:00Z","raw":"AA==","path":"a"}'
    )
    with pytest.raises(LocalProtocolError, match="as JSON"):
        encode_json(object())


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_refused_and_never_becomes_null(number: float) -> None:
    for value in (number, [1.0, (number,)], {"a": {number}}, MaskSecret({"b": [number]})):
        with pytest.raises(LocalProtocolError, match="NaN and infinity"):
            encode_json(value)
    assert encode_json({"a": [None, 1.5, "null"]}) == b'{"a":[null,1.5,"null"]}'


def test_a_body_is_the_map_on_the_wire() -> None:
    assert to_body(GetVariable("key")) == {"type": "GetVariable", "key": "key"}


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(hours=1, seconds=2.5), "PT3602.5S"),
        (300, "PT300S"),
        (0, "PT0S"),
        (timedelta(days=1, microseconds=5), "PT86400.000005S"),
        (100, "PT100S"),
        (-5, "-PT5S"),
    ],
)
def test_durations(duration: timedelta | float, text: str) -> None:
    assert iso_duration(duration) == text
    assert msgspec.convert(text, timedelta).total_seconds() == seconds(duration)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_what_is_no_duration(number: float) -> None:
    with pytest.raises(LocalProtocolError, match="is no duration"):
        iso_duration(number)


def test_bytes_and_moments_stay_what_they_are_in_a_body() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    assert to_body(MaskSecret([b"a", bytearray(b"b"), memoryview(b"c"), moment])) == {
        "type": "MaskSecret",
        "value": [b"a", b"b", b"c", moment],
        "name": None,
    }
