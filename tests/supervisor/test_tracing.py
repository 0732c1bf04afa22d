from typing import Any

import pytest

from supervisor.tracing import lines_of

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("carrier", [None, {}, {"traceparent": None}, {"traceparent": f"{PARENT}\r\nx: y"}, {"a": "b"}])
def test_what_is_no_trace_gives_no_headers(carrier: Any) -> None:
    assert lines_of(carrier) == b""


@pytest.mark.parametrize("state", [None, 3, "", "a=b\r\nx: y", "ä", "x" * 513])
def test_a_parent_goes_without_a_state_that_is_none(state: object) -> None:
    assert lines_of({"traceparent": PARENT, "tracestate": state}) == f"traceparent: {PARENT}\r\n".encode()


def test_both_go() -> None:
    expected = f"traceparent: {PARENT}\r\ntracestate: a=b,c=d\r\n".encode()
    assert lines_of({"traceparent": PARENT, "tracestate": "a=b,c=d", "baggage": "x"}) == expected
