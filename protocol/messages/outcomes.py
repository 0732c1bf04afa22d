"""How a task says it ended. The first of these that is accepted decides; what the process does afterwards does not.

`CheckpointTask` is the one of ours, in `messages/checkpoints.py`.
"""

from typing import Any, Literal

from protocol.changes import Change, drop
from protocol.messages.assets import AssetProfile
from protocol.messages.shape import Aware, Duration, Json, Message, Moment, StrictMessage
from protocol.messages.startup import LoopDecisionPayload


class SucceedTask(StrictMessage, frozen=True):
    """It succeeded, and these assets changed."""

    end_date: Aware
    state: Literal["success"] = "success"
    task_outlets: list[AssetProfile] | None = None
    outlet_events: list[dict[str, Any]] | None = None
    rendered_map_index: str | None = None
    loop_decision: LoopDecisionPayload | None = None


class TaskState(Message, frozen=True):
    """It ended in a state that needs no more words. `failed` here means without a retry.

    `checkpointed` is Taskhand's: it stopped at the checkpoint it saved last, and wants to be resumed from there.
    """

    state: Literal["failed", "skipped", "removed", "checkpointed"]
    end_date: Moment | None = None
    rendered_map_index: str | None = None
    retry_reason: str | None = None
    loop_decision: LoopDecisionPayload | None = None


class RetryTask(StrictMessage, frozen=True):
    """It failed and should be tried again, after a delay of its own when one is given."""

    end_date: Aware
    state: Literal["up_for_retry"] = "up_for_retry"
    rendered_map_index: str | None = None
    retry_delay_seconds: float | None = None
    retry_reason: str | None = None


class RescheduleTask(StrictMessage, frozen=True):
    """It is not ready and wants its next try at a moment; no retry is spent."""

    reschedule_date: Aware
    end_date: Aware
    state: Literal["up_for_reschedule"] = "up_for_reschedule"


class DeferTask(StrictMessage, frozen=True):
    """It waits for a trigger and gives its slot back; `next_method` is called when the trigger fires."""

    classpath: str
    next_method: str
    state: Literal["deferred"] = "deferred"
    trigger_kwargs: dict[str, Json | None] | str | None = None
    trigger_timeout: Duration | None = None
    queue: str | None = None
    next_kwargs: dict[str, Json | None] | None = None
    rendered_map_index: str | None = None


class AwaitInputTask(StrictMessage, frozen=True):
    """It waits for a human's answer and gives its slot back."""

    next_method: str
    state: Literal["awaiting_input"] = "awaiting_input"
    timeout: Duration | None = None
    next_kwargs: dict[str, Json | None] | None = None
    rendered_map_index: str | None = None


CHANGES = (
    Change("2026-10-30", SucceedTask, down=drop("loop_decision")),
    Change("2026-10-30", TaskState, down=drop("retry_reason", "loop_decision")),
)
