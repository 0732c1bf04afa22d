"""Each end is known by its state, and says nothing that the server does not know."""

from typing import Any, get_args

import msgspec
import pytest

from protocol.http.instances import TIEnd, TIEnterRunningPayload, TIHeartbeatInfo

WHEN = "2026-01-02T03:04:05Z"
ENDS: dict[str, dict[str, Any]] = {
    "success": {"end_date": WHEN, "task_outlets": [{"type": "Asset", "name": "a", "uri": "u"}], "outlet_events": [{}]},
    "failed": {"end_date": WHEN, "rendered_map_index": "x", "retry_reason": "no", "kind": "oom"},
    "skipped": {"end_date": WHEN},
    "removed": {"end_date": WHEN},
    "upstream_failed": {"end_date": WHEN},
    "server_terminated": {"end_date": WHEN, "hostname": "h", "pid": 1, "rendered_map_index": None},
    "up_for_retry": {"end_date": WHEN, "retry_delay_seconds": 1.5, "retry_reason": "later"},
    "up_for_reschedule": {"end_date": WHEN, "reschedule_date": WHEN},
    "deferred": {"classpath": "a.B", "next_method": "m", "trigger_kwargs": "opaque", "trigger_timeout": "PT5S"},
    "awaiting_input": {"next_method": "m", "next_kwargs": {"a": None}, "timeout": 5},
    "checkpointed": {"end_date": WHEN, "data": {"step": 1}, "progress": 0.5, "reason": "drain"},
}


def test_every_end_is_exercised_here() -> None:
    assert {variant.__struct_config__.tag for variant in get_args(TIEnd)} == ENDS.keys()


@pytest.mark.parametrize("state", ENDS)
def test_an_end_is_read_back(state: str) -> None:
    end = msgspec.convert({"state": state} | ENDS[state], TIEnd)
    wire = msgspec.json.encode(end)
    assert msgspec.json.decode(wire)["state"] == state
    assert msgspec.json.decode(wire, type=TIEnd) == end


@pytest.mark.parametrize("state", ENDS)
def test_a_surplus_key_is_refused(state: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="surplus"):
        msgspec.convert({"state": state, "surplus": 1} | ENDS[state], TIEnd)


@pytest.mark.parametrize("state", ["queued", "scheduled", "restarting", "running", "", "SUCCESS", None, 3])
def test_an_end_that_is_none_is_refused(state: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"state": state, "end_date": WHEN}, TIEnd)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"state": "failed", "end_date": "2026-01-02T03:04:05"}, TIEnd)


def test_running_names_its_state_and_takes_no_other() -> None:
    body = {"hostname": "h", "unixname": "u", "pid": 1, "start_date": WHEN}
    payload = msgspec.convert(body, TIEnterRunningPayload)
    assert msgspec.json.decode(msgspec.json.encode(payload))["state"] == "running"
    for wrong in ({"state": "success"}, {"pid": -1}, {"surplus": 1}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(body | wrong, TIEnterRunningPayload)


def test_a_heartbeat_takes_no_surplus() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"hostname": "h", "pid": 1, "x": 1}, TIHeartbeatInfo)
