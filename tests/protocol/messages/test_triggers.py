import msgspec
import pytest

from protocol.messages import triggers
from protocol.messages.triggers import FiredTrigger, TriggerEvent, TriggerStateChanges, TriggerStateSync
from protocol.versions import down
from tests.protocol.messages.exercise import exercise_messages
from tests.protocol.samples import as_map, full


def test_messages() -> None:
    exercise_messages(triggers, strict=set())


def test_an_event_that_ends_its_task_says_how_and_one_that_resumes_it_does_not() -> None:
    ends, resumes = TriggerEvent(task_instance_state="success", xcoms={"rows": 3}), TriggerEvent({"rows": 3})
    nothing = TriggerEvent(None)
    events = [FiredTrigger(1, ends, None), FiredTrigger(2, resumes, 9), FiredTrigger(3, nothing, None)]
    changes = TriggerStateChanges(events=events)
    assert as_map(changes)["events"] == [
        [1, {"task_instance_state": "success", "xcoms": {"rows": 3}}, None],
        [2, {"payload": {"rows": 3}}, 9],
        [3, {"payload": None}, None],
    ]
    assert msgspec.convert(as_map(changes), TriggerStateChanges) == changes


@pytest.mark.parametrize("body", [{}, {"payload": 1, "task_instance_state": "failed"}])
def test_an_event_that_says_neither_or_both_is_none(body: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match="either a payload or a task_instance_state"):
        msgspec.convert(body, TriggerEvent)


def test_an_older_runner_is_not_told_of_releases() -> None:
    body = down("TriggerStateSync", as_map(full(TriggerStateSync)), "2026-06-16")
    assert "to_release" not in body
    assert {"queued_at", "region_id"}.isdisjoint({*body["to_create"][0], *body["to_create"][0]["ti"]})
