"""Which function answers which question: one table, and what becomes of its errors.

Every question gets an answer. A function gives the reply, or raises what `supervisor.api` raises; here that becomes an
error in the words every runtime knows. Which errors count as answers (and are returned to the asker, not raised there)
is `protocol.vocabulary.ANSWERS`, so a 404 is what that table calls it for the question that was asked.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from protocol.errors import LocalProtocolError
from protocol.messages import (
    assets,
    checkpoints,
    control,
    hitl,
    instances,
    jobs,
    outcomes,
    runs,
    stores,
    variables,
    xcoms,
)
from protocol.messages.control import ErrorResponse, ErrorType
from protocol.messages.shape import Message
from protocol.vocabulary import ANSWERS
from supervisor.answers import assets as about_assets
from supervisor.answers import checkpoints as about_checkpoints
from supervisor.answers import control as about_control
from supervisor.answers import instances as about_instances
from supervisor.answers import runs as about_runs
from supervisor.answers import stores as about_stores
from supervisor.answers import values as about_values
from supervisor.answers.desk import Desk
from supervisor.api import ApiAway, ApiRefused

Handler = Callable[[Desk, Any], Awaitable[Message | None]]

HANDLERS: Mapping[type[Message], Handler] = {
    outcomes.SucceedTask: about_control.end,
    outcomes.TaskState: about_control.end,
    outcomes.RetryTask: about_control.end,
    outcomes.RescheduleTask: about_control.end,
    outcomes.DeferTask: about_control.end,
    outcomes.AwaitInputTask: about_control.end,
    checkpoints.CheckpointTask: about_control.end,
    checkpoints.SaveCheckpoint: about_checkpoints.save,
    checkpoints.GetCheckpoint: about_checkpoints.get,
    checkpoints.GetStopRequest: about_control.get_stop_request,
    jobs.RecordJob: about_checkpoints.record_job,
    jobs.GetJobRecord: about_checkpoints.get_job_record,
    control.ReportProgress: about_control.report_progress,
    control.GiveReason: about_control.give_reason,
    control.SetExecutionTimeout: about_control.set_execution_timeout,
    control.SetRenderedFields: about_control.set_rendered_fields,
    control.SetRenderedMapIndex: about_control.set_rendered_map_index,
    control.SkipDownstreamTasks: about_control.skip_downstream,
    control.ResendLoggingFD: about_control.resend_logging_fd,
    variables.GetConnection: about_values.get_connection,
    variables.GetVariable: about_values.get_variable,
    variables.GetVariableKeys: about_values.get_variable_keys,
    variables.PutVariable: about_values.put_variable,
    variables.DeleteVariable: about_values.delete_variable,
    variables.MaskSecret: about_values.mask_secret,
    xcoms.GetXCom: about_values.get_xcom,
    xcoms.SetXCom: about_values.set_xcom,
    xcoms.DeleteXCom: about_values.delete_xcom,
    xcoms.GetXComCount: about_values.get_xcom_count,
    xcoms.GetXComSequenceItem: about_values.get_xcom_item,
    xcoms.GetXComSequenceSlice: about_values.get_xcom_slice,
    assets.GetAssetByName: about_assets.by_name,
    assets.GetAssetByUri: about_assets.by_uri,
    assets.GetAssetsByAlias: about_assets.by_alias,
    assets.GetAssetEventByAsset: about_assets.events,
    assets.GetAssetEventByAssetAlias: about_assets.events_by_alias,
    assets.ValidateInletsAndOutlets: about_assets.validate,
    stores.GetTaskStateStore: about_stores.get_value,
    stores.SetTaskStateStore: about_stores.set_value,
    stores.DeleteTaskStateStore: about_stores.delete_value,
    stores.ClearTaskStateStore: about_stores.clear,
    stores.GetAssetStateStoreByName: about_stores.get_asset_value_by_name,
    stores.GetAssetStateStoreByUri: about_stores.get_asset_value_by_uri,
    stores.SetAssetStateStoreByName: about_stores.set_asset_value_by_name,
    stores.SetAssetStateStoreByUri: about_stores.set_asset_value_by_uri,
    stores.DeleteAssetStateStoreByName: about_stores.delete_asset_value_by_name,
    stores.DeleteAssetStateStoreByUri: about_stores.delete_asset_value_by_uri,
    stores.ClearAssetStateStoreByName: about_stores.clear_asset_by_name,
    stores.ClearAssetStateStoreByUri: about_stores.clear_asset_by_uri,
    runs.GetDag: about_runs.get_dag,
    runs.GetDagRun: about_runs.get_run,
    runs.GetDagRunState: about_runs.get_state,
    runs.GetPreviousDagRun: about_runs.get_previous,
    runs.GetPrevSuccessfulDagRun: about_runs.get_previous_successful,
    runs.GetDRCount: about_runs.count,
    runs.TriggerDagRun: about_runs.trigger,
    runs.UpdateDagRunNote: about_runs.update_note,
    instances.GetTICount: about_instances.count,
    instances.GetTaskStates: about_instances.states,
    instances.GetPreviousTI: about_instances.previous,
    instances.GetTaskBreadcrumbs: about_instances.breadcrumbs,
    instances.GetTaskRescheduleStartDate: about_instances.reschedule_start,
    hitl.CreateHITLDetailPayload: about_instances.create_hitl,
    hitl.GetHITLDetailResponse: about_instances.get_hitl,
    hitl.UpdateHITLDetail: about_instances.update_hitl,
}

LOCAL: frozenset[Handler] = frozenset(
    {
        about_control.report_progress,
        about_control.give_reason,
        about_control.set_execution_timeout,
        about_control.get_stop_request,
        about_control.resend_logging_fd,
        about_values.mask_secret,
    }
)
"""Those that never wait: they are answered on the spot, without a task of their own."""

NOT_FOUND = 404
FORBIDDEN = frozenset({401, 403})


async def answer(desk: Desk, message: Message) -> Message | None:
    """Answer a question: with its reply, or with an error."""
    try:
        return await HANDLERS[type(message)](desk, message)
    except ApiRefused as refused:
        return error_of(type(message), refused)
    except ApiAway as away:
        return _error(ErrorType.API_SERVER_ERROR, away, away.status)
    except LocalProtocolError as ours:  # what was given has no form: no server was asked
        return _error(ErrorType.GENERIC_ERROR, ours)


def error_of(question: type[Message], refused: ApiRefused) -> ErrorResponse:
    """Give the error that a refusal is, for this question."""
    counted = ANSWERS[question].instead
    detail = {"status_code": refused.status, "message": refused.why.message, "detail": refused.detail}
    if refused.status == NOT_FOUND:
        found = next((error for error in counted if error.endswith("_NOT_FOUND")), None)
        if found is not None:
            return ErrorResponse(found, detail)
    if refused.status in FORBIDDEN and ErrorType.PERMISSION_DENIED in counted:
        return ErrorResponse(ErrorType.PERMISSION_DENIED, detail)
    return ErrorResponse(ErrorType.API_SERVER_ERROR, detail)


def _error(kind: ErrorType, error: Exception, status: int | None = None) -> ErrorResponse:
    return ErrorResponse(kind, {"status_code": status, "message": str(error), "exception_type": type(error).__name__})
