"""Bodies for values: what may be null, and what may not be more."""

import msgspec
import pytest

from protocol.http.values import (
    ConnectionBody,
    HealthReport,
    TaskStateStorePutBody,
    TriggerDAGRunPayload,
    VariablePostBody,
)


def test_a_variable_may_be_null_but_must_be_said() -> None:
    assert msgspec.json.decode(b'{"val": null}', type=VariablePostBody) == VariablePostBody(None)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b"{}", type=VariablePostBody)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (VariablePostBody, b'{"val": "v", "value": "v"}'),
        (TaskStateStorePutBody, b'{"value": 1, "expires_at": "2026-01-01T00:00:00"}'),
        (TriggerDAGRunPayload, b'{"surplus": 1}'),
        (ConnectionBody, b'{"conn_type": "http", "port": 65536}'),
    ],
)
def test_what_does_not_fit_is_refused(kind: type[msgspec.Struct], body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=kind)


def test_a_well_server_says_no_more() -> None:
    assert msgspec.json.encode(HealthReport("healthy")) == b'{"status":"healthy"}'
