from protocol.messages import instances
from protocol.messages.instances import PreviousTIResult, TaskRescheduleStartDate
from tests.protocol.messages.exercise import exercise_messages
from tests.protocol.samples import as_map


def test_messages() -> None:
    exercise_messages(instances, strict=set())


def test_nothing_found_is_said() -> None:
    assert as_map(PreviousTIResult()) == {"type": "PreviousTIResult", "task_instance": None}
    assert as_map(TaskRescheduleStartDate(None)) == {"type": "TaskRescheduleStartDate", "start_date": None}
