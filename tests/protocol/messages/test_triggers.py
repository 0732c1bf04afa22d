import msgspec

from protocol.messages import triggers
from protocol.messages.triggers import FiredTrigger, TriggerEvent, TriggerStateChanges, TriggerStateSync
from protocol.versions import down
from tests.protocol.messages.exercise import exercise_messages
from tests.protocol.samples import as_map, full


def test_messages() -> None:
    exercise_messages(triggers, strict=set())


def test_an_event_that_ends_its_task_says_how_and_one_that_resumes_it_does_not() -> None:
    ends, resumes = TriggerEvent({"rows": 3}, "success"), TriggerEvent({"rows": 3})
    changes = TriggerStateChanges(events=[FiredTrigger(1, ends, None), FiredTrigger(2, resumes, 9)])
    assert as_map(changes)["events"] == [
        [1, {"payload": {"rows": 3}, "task_instance_state": "success"}, None],
        [2, {"payload": {"rows": 3}}, 9],
    ]
    assert msgspec.convert(as_map(changes), TriggerStateChanges) == changes


def test_an_older_runner_is_not_told_of_releases() -> None:
    body = down("TriggerStateSync", as_map(full(TriggerStateSync)), "2026-06-16")
    assert "to_release" not in body
    assert {"queued_at", "region_id"}.isdisjoint({*body["to_create"][0], *body["to_create"][0]["ti"]})
