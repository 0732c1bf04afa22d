"""What keeps an attempt going: errors, acknowledgements, rendered fields, deadlines, the log channel."""

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta

from protocol.changes import Change
from protocol.messages.shape import Json, Message, StrictMessage


class ErrorType(StrEnum):
    """What went wrong, in the words every runtime knows."""

    CONNECTION_NOT_FOUND = "CONNECTION_NOT_FOUND"
    VARIABLE_NOT_FOUND = "VARIABLE_NOT_FOUND"
    XCOM_NOT_FOUND = "XCOM_NOT_FOUND"
    ASSET_NOT_FOUND = "ASSET_NOT_FOUND"
    TASK_STORE_NOT_FOUND = "TASK_STORE_NOT_FOUND"
    ASSET_STORE_NOT_FOUND = "ASSET_STORE_NOT_FOUND"
    DAGRUN_ALREADY_EXISTS = "DAGRUN_ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    GENERIC_ERROR = "GENERIC_ERROR"
    API_SERVER_ERROR = "API_SERVER_ERROR"


class ErrorResponse(Message, frozen=True):
    """A question's answer when it has none. `detail` says what happened, with a status code where there was one."""

    error: ErrorType = ErrorType.GENERIC_ERROR
    detail: dict[str, Any] | None = None


class OKResponse(Message, frozen=True):
    """It was done."""

    ok: bool


class ResendLoggingFD(Message, frozen=True):
    """Ask for a new log channel. Only over a UNIX socket: the descriptor rides on the answer's first bytes."""


class SentFDs(Message, frozen=True):
    """The descriptors that came with this frame; the numbers are the sender's and are replaced by the receiver's."""

    fds: list[int]


class SetRenderedFields(Message, frozen=True):
    """Show people the fields of the task as its templates were rendered."""

    rendered_fields: dict[str, Json]


class SetRenderedMapIndex(Message, frozen=True):
    """Show people a name for this map index."""

    rendered_map_index: str


class SkipDownstreamTasks(StrictMessage, frozen=True):
    """Skip these tasks of the run, each by id or by id and map index."""

    tasks: list[str | tuple[str, int]]


class SetExecutionTimeout(Message, frozen=True):
    """Have the supervisor end this attempt when it runs longer than this."""

    timeout_seconds: Annotated[float, Meta(gt=0)]


class ReportProgress(Message, frozen=True):
    """A sign of life from the task's own code, for the progress deadman. Taskhand's own."""

    progress: float | None = None


class GiveReason(Message, frozen=True):
    """Why the word that comes next is said, where that has no room for it (`RescheduleTask`). Taskhand's own."""

    reason: str


CHANGES = (Change("2026-10-30", SetExecutionTimeout, down=None),)
