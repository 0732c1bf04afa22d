"""What people send is bounded, and what they get is read back."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from protocol.http.people import Acted, ClearRequest, InstanceSummary, MarkRequest, SubmitRun
from protocol.states import TaskInstanceState


def test_a_submission_without_extras_is_enough() -> None:
    submitted = msgspec.json.decode(b'{"graph": {"dag_id": "f", "tasks": [{"task_id": "a"}]}}', type=SubmitRun)
    assert (submitted.run_id, submitted.graph.tasks[0].task_id) == (None, "a")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (SubmitRun, b'{"graph": {"dag_id": "f", "tasks": []}, "run_id": ""}'),
        (SubmitRun, b'{"graph": {"dag_id": "f", "tasks": []}, "code": "x"}'),
        (MarkRequest, b'{"state": "running"}'),
        (ClearRequest, b'{"keep": true}'),
    ],
)
def test_what_does_not_fit_is_refused(kind: type[msgspec.Struct], body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=kind)


def test_an_action_says_what_it_touched() -> None:
    one = InstanceSummary(
        UUID(int=1),
        "f",
        "r",
        "t",
        -1,
        1,
        0,
        TaskInstanceState.QUEUED,
        "default",
        "default_pool",
        queued_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip - one line of what identifies it, one of what matters
    assert msgspec.json.decode(msgspec.json.encode(Acted([one])), type=Acted) == Acted([one])
