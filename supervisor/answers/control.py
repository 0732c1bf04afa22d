"""What keeps an attempt going, and how it says that it ended."""

from protocol.messages.checkpoints import GetStopRequest, StopRequestResult
from protocol.messages.control import (
    ErrorResponse,
    ErrorType,
    GiveReason,
    ReportProgress,
    ResendLoggingFD,
    SentFDs,
    SetExecutionTimeout,
    SetRenderedFields,
    SetRenderedMapIndex,
    SkipDownstreamTasks,
)
from protocol.messages.shape import Message
from supervisor.answers.checkpoints import last_word
from supervisor.answers.desk import Desk
from supervisor.api import ApiRefused
from supervisor.paths import path

ARCHIVED = 410


async def end(desk: Desk, message: Message) -> ErrorResponse | None:
    """All terminal messages: the answer comes when the server has taken or refused it."""
    return await desk.speak(last_word(desk, message))


async def report_progress(desk: Desk, _: ReportProgress) -> None:
    """Local: the deadman is ours."""
    desk.progress()


async def give_reason(desk: Desk, message: GiveReason) -> None:
    """Local: it goes with the word that it is about."""
    desk.api.reason = message.reason


async def set_execution_timeout(desk: Desk, message: SetExecutionTimeout) -> None:
    """Local: deadlines are enforced from outside the child, which is here."""
    desk.limit(message.timeout_seconds)


async def get_stop_request(desk: Desk, _: GetStopRequest) -> StopRequestResult:
    """Local: SIGTERM has no room for a reason."""
    return StopRequestResult(desk.stop_request())


async def set_rendered_fields(desk: Desk, message: SetRenderedFields) -> None:
    """Only for people to look at: an attempt that is archived by now has nobody who looks."""
    try:
        await desk.api.do("PUT", path("task-instances", desk.ti_id, "rtif"), message.rendered_fields)
    except ApiRefused as refused:
        if refused.status != ARCHIVED:
            raise


async def set_rendered_map_index(desk: Desk, message: SetRenderedMapIndex) -> None:
    """The body is a bare JSON string."""
    target = path("task-instances", desk.ti_id, "rendered-map-index")
    await desk.api.do("PATCH", target, message.rendered_map_index)


async def skip_downstream(desk: Desk, message: SkipDownstreamTasks) -> None:
    """Skip other tasks of the run."""
    await desk.api.do("PATCH", path("task-instances", desk.ti_id, "skip-downstream"), {"tasks": message.tasks})


async def resend_logging_fd(desk: Desk, _: ResendLoggingFD) -> SentFDs | ErrorResponse:
    """Local: a log channel for a program that was executed without the first one, as Airflow's runner by `sudo`."""
    fd = desk.log_channel()
    if fd is None:
        detail = {"status_code": 429, "message": "this attempt has too many log channels", "detail": None}
        return ErrorResponse(ErrorType.API_SERVER_ERROR, detail)
    return SentFDs([fd])
