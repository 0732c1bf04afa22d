from datetime import timedelta

import msgspec
import pytest

from protocol.messages import outcomes
from protocol.messages.outcomes import DeferTask, SucceedTask, TaskState
from tests.protocol.messages.exercise import exercise_messages
from tests.protocol.samples import MOMENT, as_map

STRICT = {"SucceedTask", "RetryTask", "RescheduleTask", "DeferTask", "AwaitInputTask"}


def test_messages() -> None:
    exercise_messages(outcomes, strict=STRICT)


def test_defaults_are_sent() -> None:
    assert as_map(SucceedTask(MOMENT)) == {
        "type": "SucceedTask",
        "state": "success",
        "end_date": MOMENT,
        "task_outlets": None,
        "outlet_events": None,
        "rendered_map_index": None,
        "loop_decision": None,
    }


@pytest.mark.parametrize(("sent", "taken"), [("PT300S", timedelta(minutes=5)), (300, 300.0), (1.5, 1.5)])
def test_a_duration_is_an_iso_string_or_a_number_of_seconds(sent: object, taken: object) -> None:
    body = {"type": "DeferTask", "classpath": "a.B", "next_method": "resume", "trigger_timeout": sent}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(body), type=DeferTask).trigger_timeout == taken


@pytest.mark.parametrize("state", ["failed", "skipped", "removed", "checkpointed"])
def test_a_task_may_end_in(state: str) -> None:
    assert msgspec.convert({"type": "TaskState", "state": state}, TaskState).state == state


@pytest.mark.parametrize("state", ["success", "running", "up_for_retry", "", None])
def test_a_task_may_not_end_in(state: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": "TaskState", "state": state}, TaskState)
