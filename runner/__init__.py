"""Runs the user's code inside the child process, and is what task authors import.

It lives in the same process as code nobody has reviewed, so it holds no token, opens no connection of its own, and
knows the rest of the system only as the messages of `protocol`.
"""

from runner.authoring import flow, shell, task
from runner.blobs import BlobCorrupt
from runner.context import Context, aask, ask, current
from runner.faults import AskError, NotFound, QuestionFailed, Refused
from runner.outcomes import Checkpointed, Fail, Reschedule, Retry, Skip, TaskInterrupted

__all__ = [
    "AskError",
    "BlobCorrupt",
    "Checkpointed",
    "Context",
    "Fail",
    "NotFound",
    "QuestionFailed",
    "Refused",
    "Reschedule",
    "Retry",
    "Skip",
    "TaskInterrupted",
    "aask",
    "ask",
    "current",
    "flow",
    "shell",
    "task",
]
