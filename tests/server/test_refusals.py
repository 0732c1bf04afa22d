"""What msgspec says of a body, in the words of the wire."""

from typing import Annotated, Any

import msgspec
import pytest

from protocol.http.instances import TIEnd
from protocol.http.people import SubmitRun
from protocol.messages.shape import Aware, Duration
from protocol.values import seconds
from server.refusals import fault_of


class Outer(msgspec.Struct):
    rows: list[dict[str, Annotated[int, msgspec.Meta(ge=0)]]]


@pytest.mark.parametrize(
    ("kind", "body", "type_", "loc"),
    [
        (TIEnd, b"{", "json_invalid", ["body"]),
        (TIEnd, b"", "json_invalid", ["body"]),
        (TIEnd, b"\xff", "json_invalid", ["body"]),
        (TIEnd, b"[]", "value_error", ["body"]),
        (TIEnd, b"{}", "missing", ["body", "state"]),
        (TIEnd, b'{"state": "queued"}', "value_error", ["body", "state"]),
        (TIEnd, b'{"state": "failed"}', "missing", ["body", "end_date"]),
        (TIEnd, b'{"state": "failed", "end_date": 1, "x": 1}', "value_error", ["body", "end_date"]),
        (
            TIEnd,
            b'{"state": "failed", "end_date": "2026-01-01T00:00:00Z", "x": 1}',
            "extra_forbidden",
            ["body", "x"],
        ),
        (Outer, b'{"rows": [{}, {"a": -1}]}', "value_error", ["body", "rows", 1, "*"]),
        (
            SubmitRun,
            b'{"graph": {"dag_id": "f", "tasks": [{}]}}',
            "missing",
            ["body", "graph", "tasks", 0, "task_id"],
        ),
    ],
)
def test_a_fault_says_where(kind: type, body: bytes, type_: str, loc: list[str | int]) -> None:
    with pytest.raises(msgspec.MsgspecError) as raised:
        msgspec.json.decode(body, type=kind)
    fault = fault_of(raised.value, "body")
    assert (fault.type, fault.loc) == (type_, loc)
    assert fault.msg


@pytest.mark.parametrize(
    ("kind", "written", "advice"),
    [
        (Aware, "2026-11-20T10:00Z", "with seconds and an offset, such as 2026-11-20T10:00:00Z"),
        (Aware, "2026-11-20T10:00:00", "end it with Z or an offset"),
        (Duration, "P1W", "write P7D for P1W"),
        (Duration, "P1M", "days for months and years"),
        (Duration, "a week", "write it as PT300S or P1DT2H"),
        (int, "1", ""),
    ],
)
def test_a_time_that_is_written_otherwise_is_told_how(kind: Any, written: str, advice: str) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert({"a": written}, dict[str, kind])
    told = fault_of(raised.value, "body").msg
    assert (advice in told, ": " in told) == (True, bool(advice))


@pytest.mark.parametrize("written", ["P7D", "P1DT2H", "PT300S", "PT1H30M", 7.5])
def test_what_airflow_s_client_sends_is_taken(written: str | float) -> None:
    assert seconds(msgspec.convert(written, Duration)) > 0
