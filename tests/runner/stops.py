"""A supervisor that asked for a stop, and what it expects then."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from protocol.messages.checkpoints import (
    CheckpointSaved,
    CheckpointTask,
    GetStopRequest,
    SaveCheckpoint,
    StopReason,
    StopRequest,
    StopRequestResult,
)
from protocol.messages.shape import Message
from protocol.messages.variables import GetVariable, VariableResult
from tests.runner.children import Child, acknowledge

SAVES = "step = ctx.checkpoint.get('step', 0)\nwhile True:\n    step += 1\n    ctx.save({'step': step}, progress=step)"
"""A task that does nothing but save."""


def stopping(grace: float = 20.0, reason: StopReason = StopReason.DRAIN) -> Callable[[Message], Message | None]:
    """Answer as a supervisor that asked for a stop. Saves are numbered, and say that they were asked for."""
    saves = iter(range(1, 1_000_000))

    def answer(message: Message) -> Message | None:
        if isinstance(message, GetStopRequest):
            return StopRequestResult(StopRequest(reason, datetime.now(UTC) + timedelta(seconds=grace)))
        if isinstance(message, SaveCheckpoint):
            return CheckpointSaved(next(saves))
        if isinstance(message, GetVariable):
            return VariableResult(message.key, message.key)
        return acknowledge(message)

    return answer


def checkpointed(one: Child, reason: StopReason | None = StopReason.DRAIN) -> None:
    [told] = one.terminal
    assert isinstance(told, CheckpointTask)
    assert told.reason == reason
