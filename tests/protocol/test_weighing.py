import time
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadField, NotMsgpack, RemoteProtocolError, TooManyValues
from protocol.weighing import LIGHT, weigh
from tests.fuzzing import fuzz

pack = msgspec.msgpack.encode
EVERY_KIND = [
    None, True, 5, -5, 200, 70_000, 2**40, 2**64 - 1, -200, -70_000, -(2**40), 1.5, "", "x" * 20, "x" * 200,
    "x" * 70_000, b"", b"x" * 300, b"x" * 70_000, [], {}, [0] * 20, [0] * 70_000, {str(n): n for n in range(20)},
    {str(n): n for n in range(70_000)}, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC),
    datetime(2600, 1, 1, tzinfo=UTC), msgspec.msgpack.Ext(5, b"x"), msgspec.msgpack.Ext(5, b"x" * 8),
    msgspec.msgpack.Ext(5, b"x" * 16), msgspec.msgpack.Ext(5, b"x" * 300), msgspec.msgpack.Ext(5, b"x" * 70_000),
]  # fmt: skip


def count(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(count(key) + count(inner) for key, inner in value.items())
    return 1 + sum(map(count, value)) if isinstance(value, list) else 1


@pytest.mark.parametrize("value", EVERY_KIND, ids=lambda value: f"{type(value).__name__} {str(value)[:10]}")
def test_every_kind_of_value_is_walked_to_its_end(value: object) -> None:
    weigh(pack([value, value]), most=count([value, value]))
    with pytest.raises(TooManyValues):
        weigh(pack([value, value]), most=count([value, value]) - 1)


@pytest.mark.parametrize("float_", [b"\xca\x00\x00\x00\x00", b"\xd9\x01x"])
def test_forms_we_do_not_write(float_: bytes) -> None:
    weigh(b"\x92" + float_ + b"\xc0", most=3)


@pytest.mark.parametrize("key", [1, None, 1.5, b"x", (1, 2)])
def test_a_key_is_text(key: object) -> None:
    with pytest.raises(BadField, match="text as a map's key"):
        weigh(pack([{"fine": {key: 1}}]))
    weigh(pack([{"fine": key}]))


def test_a_claim_of_more_than_there_is_ends_where_the_payload_ends() -> None:
    with pytest.raises(NotMsgpack):
        weigh(b"\xdd\xff\xff\xff\xff")


@fuzz
@given(st.binary(max_size=200))
def test_random_bytes_are_weighed_or_refused(payload: bytes) -> None:
    try:
        weigh(payload, most=50)
    except RemoteProtocolError:
        return


@pytest.mark.slow
def test_what_needs_no_weighing_does_no_harm() -> None:
    """The worst there is below the limit: keys that collide all."""
    modulus = 2**61 - 1
    keys = [(n * modulus) % 2**64 for n in range(8)] + [n << 40 for n in range(LIGHT // 10)]
    payload = pack(dict.fromkeys(keys))[:LIGHT]
    began = time.perf_counter()
    with pytest.raises(msgspec.DecodeError):
        msgspec.msgpack.decode(payload)
    assert time.perf_counter() - began < 1
