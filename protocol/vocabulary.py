"""Every message, in three vocabularies, and the one table of which reply answers which question.

A vocabulary is what one kind of conversation may contain: a task's, or a trigger runner's. `ANSWERS` has a row for each
question; a question without one fails a test, and so does one the supervisor has no handler for.
"""

from functools import reduce
from operator import or_
from types import NoneType

from msgspec import Struct

from protocol.changes import Change
from protocol.messages import (
    assets,
    checkpoints,
    control,
    hitl,
    instances,
    jobs,
    outcomes,
    parsing,
    runs,
    startup,
    stores,
    triggers,
    variables,
    xcoms,
)
from protocol.messages.control import ErrorType
from protocol.messages.shape import Message


class Answer(Struct, frozen=True):
    """What may answer a question: the reply (of type None: an empty frame), and the errors that count as answers.

    An error in `instead` travels in the body slot and is returned to the asker; any other error travels in the error
    slot and is raised there.
    """

    reply: type[Message] | type[None]
    instead: tuple[ErrorType, ...] = ()


_EMPTY = Answer(NoneType)
_OK = Answer(control.OKResponse)
_NO_ASSET = (ErrorType.ASSET_NOT_FOUND,)
_NO_TASK_VALUE = (ErrorType.TASK_STORE_NOT_FOUND,)
_NO_ASSET_VALUE = (ErrorType.ASSET_STORE_NOT_FOUND,)

ANSWERS: dict[type[Message], Answer] = {
    outcomes.SucceedTask: _EMPTY,
    outcomes.TaskState: _EMPTY,
    outcomes.RetryTask: _EMPTY,
    outcomes.RescheduleTask: _EMPTY,
    outcomes.DeferTask: _EMPTY,
    outcomes.AwaitInputTask: _EMPTY,
    checkpoints.CheckpointTask: _EMPTY,
    checkpoints.SaveCheckpoint: Answer(checkpoints.CheckpointSaved),
    checkpoints.GetCheckpoint: Answer(checkpoints.CheckpointResult),
    checkpoints.GetStopRequest: Answer(checkpoints.StopRequestResult),
    jobs.RecordJob: _OK,
    jobs.GetJobRecord: Answer(jobs.JobRecordResult),
    control.ReportProgress: _EMPTY,
    control.GiveReason: _EMPTY,
    control.SetExecutionTimeout: _EMPTY,
    control.SetRenderedFields: _EMPTY,
    control.SetRenderedMapIndex: _EMPTY,
    control.SkipDownstreamTasks: _EMPTY,
    control.ResendLoggingFD: Answer(control.SentFDs),
    variables.GetConnection: Answer(
        variables.ConnectionResult, (ErrorType.CONNECTION_NOT_FOUND, ErrorType.PERMISSION_DENIED)
    ),
    variables.GetVariable: Answer(
        variables.VariableResult, (ErrorType.VARIABLE_NOT_FOUND, ErrorType.PERMISSION_DENIED)
    ),
    variables.GetVariableKeys: Answer(variables.VariableKeysResult),
    variables.PutVariable: _EMPTY,
    variables.DeleteVariable: _OK,
    variables.MaskSecret: _EMPTY,
    xcoms.GetXCom: Answer(xcoms.XComResult),
    xcoms.SetXCom: _EMPTY,
    xcoms.DeleteXCom: _EMPTY,
    xcoms.GetXComCount: Answer(xcoms.XComCountResponse),
    xcoms.GetXComSequenceItem: Answer(xcoms.XComSequenceIndexResult, (ErrorType.XCOM_NOT_FOUND,)),
    xcoms.GetXComSequenceSlice: Answer(xcoms.XComSequenceSliceResult),
    assets.GetAssetByName: Answer(assets.AssetResult, _NO_ASSET),
    assets.GetAssetByUri: Answer(assets.AssetResult, _NO_ASSET),
    assets.GetAssetsByAlias: Answer(assets.AssetsByAliasResult),
    assets.GetAssetEventByAsset: Answer(assets.AssetEventsResult),
    assets.GetAssetEventByAssetAlias: Answer(assets.AssetEventsResult),
    assets.ValidateInletsAndOutlets: Answer(assets.InactiveAssetsResult),
    stores.GetTaskStateStore: Answer(stores.TaskStateStoreResult, _NO_TASK_VALUE),
    stores.SetTaskStateStore: _OK,
    stores.DeleteTaskStateStore: _OK,
    stores.ClearTaskStateStore: _OK,
    stores.GetAssetStateStoreByName: Answer(stores.AssetStateStoreResult, _NO_ASSET_VALUE),
    stores.GetAssetStateStoreByUri: Answer(stores.AssetStateStoreResult, _NO_ASSET_VALUE),
    stores.SetAssetStateStoreByName: _OK,
    stores.SetAssetStateStoreByUri: _OK,
    stores.DeleteAssetStateStoreByName: _OK,
    stores.DeleteAssetStateStoreByUri: _OK,
    stores.ClearAssetStateStoreByName: _OK,
    stores.ClearAssetStateStoreByUri: _OK,
    runs.GetDag: Answer(runs.DagResult),
    runs.GetDagRun: Answer(runs.DagRunResult),
    runs.GetDagRunState: Answer(runs.DagRunStateResult),
    runs.GetPreviousDagRun: Answer(runs.PreviousDagRunResult),
    runs.GetPrevSuccessfulDagRun: Answer(runs.PrevSuccessfulDagRunResult),
    runs.GetDRCount: Answer(runs.DRCount),
    runs.TriggerDagRun: Answer(control.OKResponse, (ErrorType.DAGRUN_ALREADY_EXISTS,)),
    runs.UpdateDagRunNote: _OK,
    instances.GetTICount: Answer(instances.TICount),
    instances.GetTaskStates: Answer(instances.TaskStatesResult),
    instances.GetPreviousTI: Answer(instances.PreviousTIResult),
    instances.GetTaskBreadcrumbs: Answer(instances.TaskBreadcrumbsResult),
    instances.GetTaskRescheduleStartDate: Answer(instances.TaskRescheduleStartDate),
    hitl.CreateHITLDetailPayload: Answer(hitl.HITLDetailRequestResult),
    hitl.GetHITLDetailResponse: Answer(hitl.HITLDetailResponseResult),
    hitl.UpdateHITLDetail: Answer(hitl.HITLDetailResponseResult),
    triggers.TriggerStateChanges: Answer(triggers.TriggerStateSync),
}

TERMINAL: frozenset[type[Message]] = frozenset(
    {
        outcomes.SucceedTask,
        outcomes.TaskState,
        outcomes.RetryTask,
        outcomes.RescheduleTask,
        outcomes.DeferTask,
        outcomes.AwaitInputTask,
        checkpoints.CheckpointTask,
    }
)
"""The messages that say how the task ended."""

OURS: frozenset[type[Message]] = frozenset(
    {
        checkpoints.CheckpointTask,
        checkpoints.SaveCheckpoint,
        checkpoints.GetCheckpoint,
        checkpoints.GetStopRequest,
        jobs.RecordJob,
        jobs.GetJobRecord,
        control.ReportProgress,
        control.GiveReason,
    }
)
"""Questions that only Taskhand's supervisor answers."""


class Vocabulary(Struct, frozen=True):
    """What one kind of conversation may contain."""

    greeting: type[Message]
    questions: frozenset[type[Message]]

    @property
    def replies(self) -> frozenset[type[Message]]:
        """Everything the questioner may hear after the greeting."""
        answers = (ANSWERS[question].reply for question in self.questions)
        return frozenset(reply for reply in answers if issubclass(reply, Message)) | {control.ErrorResponse}


_TRIGGERS_ONLY = frozenset({triggers.TriggerStateChanges})

TASK = Vocabulary(greeting=startup.StartupDetails, questions=frozenset(ANSWERS) - _TRIGGERS_ONLY)
"""A task's child and its supervisor."""

TRIGGERER = Vocabulary(
    greeting=triggers.StartTriggerer,
    questions=_TRIGGERS_ONLY
    | {
        variables.GetConnection,
        variables.GetVariable,
        variables.GetVariableKeys,
        variables.PutVariable,
        variables.DeleteVariable,
        variables.MaskSecret,
        xcoms.GetXCom,
        xcoms.SetXCom,
        xcoms.DeleteXCom,
        instances.GetTICount,
        instances.GetTaskStates,
        instances.GetPreviousTI,
        runs.GetDagRunState,
        runs.GetDRCount,
        stores.GetAssetStateStoreByName,
        stores.GetAssetStateStoreByUri,
        stores.SetAssetStateStoreByName,
        stores.SetAssetStateStoreByUri,
        stores.DeleteAssetStateStoreByName,
        stores.DeleteAssetStateStoreByUri,
        stores.ClearAssetStateStoreByName,
        stores.ClearAssetStateStoreByUri,
        hitl.GetHITLDetailResponse,
        hitl.UpdateHITLDetail,
    },
)
"""A trigger runner and its supervisor."""

PARSING: frozenset[type[Message]] = frozenset(
    {
        parsing.DagFileParseRequest,
        parsing.DagFileParsingResult,
        parsing.DagCallbackRequest,
        parsing.TaskCallbackRequest,
        parsing.EmailRequest,
    }
)
"""A Dag processor's messages: described, not spoken."""

CHANGES: tuple[Change, ...] = (
    *assets.CHANGES,
    *control.CHANGES,
    *instances.CHANGES,
    *outcomes.CHANGES,
    *parsing.CHANGES,
    *runs.CHANGES,
    *startup.CHANGES,
    *triggers.CHANGES,
    *xcoms.CHANGES,
)


def union(members: frozenset[type[Message]]) -> type[Message]:
    """Give the union type of some messages, in a stable order."""
    return reduce(or_, sorted(members, key=lambda member: member.__name__))
