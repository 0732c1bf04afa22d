"""An error body of any form is read as a refusal."""

import msgspec
import pytest

from protocol.http.errors import ErrorBody, Fault, Refusal, refusal


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"detail": "Missing auth token"}', Refusal("", "Missing auth token")),
        (
            b'{"detail": {"reason": "invalid_state", "message": "m", "previous_state": "running", "more": 1}}',
            Refusal("invalid_state", "m", previous_state="running"),
        ),
        (b'{"detail": {"anything": 1}}', Refusal("", "")),
        (
            b'{"detail": [{"type": "missing", "loc": ["body", "pid"], "msg": "Field required", "url": "u"}]}',
            Refusal("invalid", "body.pid: Field required"),
        ),
    ],
)
def test_a_detail_of_any_form_is_read(body: bytes, read: Refusal) -> None:
    assert refusal(msgspec.json.decode(body, type=ErrorBody)) == read


def test_a_list_of_faults_is_typed() -> None:
    body = ErrorBody([Fault("missing", ["body", 0], "Field required")])
    assert msgspec.json.decode(msgspec.json.encode(body), type=ErrorBody) == body
