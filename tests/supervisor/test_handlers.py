"""Every question has a handler, makes the request that the API knows, and gets the reply that the wire expects."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from protocol.messages import assets as a
from protocol.messages import checkpoints as c
from protocol.messages import control, hitl, instances, jobs, outcomes, runs
from protocol.messages import stores as s
from protocol.messages import variables as v
from protocol.messages import xcoms as x
from protocol.messages.control import ErrorResponse, ErrorType
from protocol.messages.shape import Message
from protocol.vocabulary import ANSWERS, TASK, TERMINAL
from supervisor.handlers import HANDLERS, LOCAL
from tests.supervisor.desks import TI, FakeDesk, asked, found, refused

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AT = "2026-01-01T00%3A00%3A00Z"
RUN: dict[str, Any] = {
    "dag_id": "d", "run_id": "r", "run_after": "2026-01-01T00:00:00Z", "run_type": "manual", "state": "running",
    "consumed_asset_events": [], "logical_date": None, "data_interval_start": None, "data_interval_end": None,
    "start_date": None, "end_date": None, "partition_key": None,
}  # fmt: skip
DAG: dict[str, Any] = dict.fromkeys(("bundle_name", "bundle_version", "relative_fileloc", "owners", "next_dagrun"))
CONNECTION: dict[str, Any] = dict.fromkeys(("host", "schema", "login", "port"))
CONNECTION |= {"conn_id": "c", "conn_type": "t", "password": "pw", "extra": '{"k": "sec"}'}
HITL = {"response_received": False, "responded_at": None, "chosen_options": None}
RECORD = {"seq": 4, "attempt": 1, "created": "2026-01-01T00:00:00Z"}

# Message, then method and target of its request, the body it carries (... for none), and the body of the answer.
Case = tuple[Message, str, str, Any, Any]
CASES: list[Case] = [
    (c.SaveCheckpoint(data=1), "PUT", f"/task-instances/{TI}/checkpoint?number=1", ..., {"seq": 3}),
    (c.GetCheckpoint(), "GET", f"/task-instances/{TI}/checkpoint", ..., {"checkpoint": RECORD}),
    (jobs.GetJobRecord("j"), "GET", f"/store/ti/{TI}/taskhand.job.j", ..., {"value": None}),
    (control.SetRenderedFields({"f": 1}), "PUT", f"/task-instances/{TI}/rtif", {"f": 1}, None),
    (control.SetRenderedMapIndex("i"), "PATCH", f"/task-instances/{TI}/rendered-map-index", "i", None),
    (
        control.SkipDownstreamTasks(["a", ("b", 1)]),
        "PATCH",
        f"/task-instances/{TI}/skip-downstream",
        {"tasks": ["a", ["b", 1]]},
        None,
    ),
    (v.GetConnection("a/b"), "GET", "/connections/a%2Fb", ..., CONNECTION),
    (v.GetVariable(".."), "GET", "/variables/%2E%2E", ..., {"key": "..", "value": "x"}),
    (
        v.GetVariableKeys("p"),
        "GET",
        "/variables/keys?limit=1000&offset=0&prefix=p",
        ...,
        {"keys": [], "total_entries": 0},
    ),
    (v.PutVariable("k", "x", None), "PUT", "/variables/k", {"val": "x", "description": None}, None),
    (v.DeleteVariable("k"), "DELETE", "/variables/k", ..., None),
    (x.GetXCom("k", "d", "r+", "t", 2), "GET", "/xcoms/d/r%2B/t/k?map_index=2", ..., {"key": "k", "value": [1]}),
    (
        x.GetXCom("k", "d", "r", "t", -1, True),
        "GET",
        "/xcoms/d/r/t/k?include_prior_dates=true",
        ...,
        {"key": "k", "value": 1},
    ),
    (
        x.SetXCom("k", [1], "d", "r", "t", -1, True, 1),
        "POST",
        "/xcoms/d/r/t/k?map_index=-1&dag_result=true&mapped_length=1",
        [1],
        None,
    ),
    (x.DeleteXCom("k", "d", "r", "t"), "DELETE", "/xcoms/d/r/t/k", ..., None),
    (x.GetXComSequenceItem("k", "d", "r", "t", -1), "GET", "/xcoms/d/r/t/k/item/-1", ..., 5),
    (x.GetXComSequenceSlice("k", "d", "r", "t", 0, None, 2), "GET", "/xcoms/d/r/t/k/slice?start=0&step=2", ..., [1]),
    (a.GetAssetByName("n"), "GET", "/assets/by-name?name=n", ..., {"name": "n", "uri": "u", "group": "g"}),
    (a.GetAssetByUri("s3://b"), "GET", "/assets/by-uri?uri=s3%3A%2F%2Fb", ..., {"name": "n", "uri": "u", "group": "g"}),
    (a.GetAssetsByAlias("n"), "GET", "/assets/by-alias?alias_name=n", ..., []),
    (
        a.GetAssetEventByAsset("n", None, NOW),
        "GET",
        f"/asset-events/by-asset?name=n&uri=&after={AT}&ascending=true",
        ...,
        {"asset_events": []},
    ),
    (
        a.GetAssetEventByAssetAlias("n", extra={"a": "b"}),
        "GET",
        "/asset-events/by-asset-alias?name=n&ascending=true&extra=%7B%22a%22%3A%22b%22%7D",
        ...,
        {"asset_events": []},
    ),
    (
        a.ValidateInletsAndOutlets(TI),
        "GET",
        f"/task-instances/{TI}/validate-inlets-and-outlets",
        ...,
        {"inactive_assets": []},
    ),
    (s.GetTaskStateStore(TI, "a/b"), "GET", f"/store/ti/{TI}/a%2Fb", ..., {"value": 1}),
    (s.SetTaskStateStore(TI, "k", 1, None), "PUT", f"/store/ti/{TI}/k", {"value": 1, "expires_at": None}, None),
    (s.DeleteTaskStateStore(TI, "k"), "DELETE", f"/store/ti/{TI}/k", ..., None),
    (s.ClearTaskStateStore(TI), "DELETE", f"/store/ti/{TI}", ..., None),
    (s.GetAssetStateStoreByName("n", "k"), "GET", "/store/asset/by-name/value?name=n&key=k", ..., {"value": 1}),
    (s.GetAssetStateStoreByUri("u", "k"), "GET", "/store/asset/by-uri/value?uri=u&key=k", ..., {"value": 1}),
    (s.SetAssetStateStoreByName("n", "k", 1), "PUT", "/store/asset/by-name/value?name=n&key=k", {"value": 1}, None),
    (s.SetAssetStateStoreByUri("u", "k", 1), "PUT", "/store/asset/by-uri/value?uri=u&key=k", {"value": 1}, None),
    (s.DeleteAssetStateStoreByName("n", "k"), "DELETE", "/store/asset/by-name/value?name=n&key=k", ..., None),
    (s.DeleteAssetStateStoreByUri("u", "k"), "DELETE", "/store/asset/by-uri/value?uri=u&key=k", ..., None),
    (s.ClearAssetStateStoreByName("n"), "DELETE", "/store/asset/by-name/clear?name=n", ..., None),
    (s.ClearAssetStateStoreByUri("u"), "DELETE", "/store/asset/by-uri/clear?uri=u", ..., None),
    (runs.GetDag("d"), "GET", "/dags/d", ..., {"dag_id": "d", "is_paused": False, "tags": [], **DAG}),
    (runs.GetDagRun("d", "r"), "GET", "/dag-runs/d/r", ..., RUN),
    (runs.GetDagRunState("d", "r"), "GET", "/dag-runs/d/r/state", ..., {"state": "running"}),
    (runs.GetPreviousDagRun("d", NOW), "GET", f"/dag-runs/previous?dag_id=d&logical_date={AT}", ..., RUN),
    (runs.GetPrevSuccessfulDagRun(UUID(int=9)), "GET", f"/task-instances/{TI}/previous-successful-dagrun", ..., {}),
    (runs.GetDRCount("d", run_ids=["a", "b"]), "GET", "/dag-runs/count?dag_id=d&run_ids=a&run_ids=b", ..., 2),
    (
        runs.TriggerDagRun("d", "r", conf={"a": 1}, partition_key="p"),
        "POST",
        "/dag-runs/d/r",
        {"conf": {"a": 1}, "partition_key": "p"},
        None,
    ),
    (runs.UpdateDagRunNote(TI, None), "PATCH", f"/task-instances/{TI}/dag-run-note", {"note": None}, None),
    (instances.GetTICount("d", task_ids=["t"]), "GET", "/task-instances/count?dag_id=d&task_ids=t", ..., 3),
    (instances.GetTaskStates("d", 1), "GET", "/task-instances/states?dag_id=d&map_index=1", ..., {"task_states": {}}),
    (instances.GetPreviousTI("d", "t"), "GET", "/task-instances/previous/d/t?map_index=-1", ..., None),
    (
        instances.GetTaskBreadcrumbs("d", "r"),
        "GET",
        "/task-instances/breadcrumbs?dag_id=d&run_id=r",
        ...,
        {"breadcrumbs": []},
    ),
    (instances.GetTaskRescheduleStartDate(TI), "GET", f"/task-reschedules/{TI}/start_date?try_number=1", ..., None),
    (
        hitl.CreateHITLDetailPayload(TI, ["a"], "s"),
        "POST",
        f"/hitlDetails/{TI}",
        {"ti_id": str(TI), "options": ["a"], "subject": "s", "multiple": False},
        {"ti_id": str(TI), "options": ["a"], "subject": "s"},
    ),
    (hitl.GetHITLDetailResponse(TI), "GET", f"/hitlDetails/{TI}", ..., HITL),
    (
        hitl.UpdateHITLDetail(TI, ["a"]),
        "PATCH",
        f"/hitlDetails/{TI}",
        {"ti_id": str(TI), "chosen_options": ["a"]},
        HITL,
    ),
]

TOLD: list[Message] = [
    outcomes.SucceedTask(NOW),
    outcomes.TaskState("failed"),
    outcomes.RetryTask(NOW),
    outcomes.RescheduleTask(NOW, NOW),
    outcomes.DeferTask("a.B", "m"),
    outcomes.AwaitInputTask("m"),
    c.CheckpointTask(NOW),
]
LOCALLY: list[tuple[Message, Any]] = [
    (control.ReportProgress(1.0), "progress"),
    (control.SetExecutionTimeout(3.0), 3.0),
]
ALONE: set[type[Message]] = {
    c.GetStopRequest,
    jobs.RecordJob,
    control.ResendLoggingFD,
    control.GiveReason,
    v.MaskSecret,
    x.GetXComCount,
}


def test_every_question_has_a_handler() -> None:
    assert set(HANDLERS) == TASK.questions


def test_every_question_is_tested_here() -> None:
    tested = {type(case[0]) for case in CASES} | {type(each) for each in TOLD} | {type(each) for each, _ in LOCALLY}
    assert tested | ALONE == TASK.questions


def test_every_terminal_message_is_taken_at_the_desk() -> None:
    assert {type(message) for message in TOLD} == TERMINAL
    for message in TOLD:
        desk = FakeDesk()
        assert asked(desk, message) is None
        assert desk.noted == [message]


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case[0]).__name__)
def test_a_question_becomes_its_request_and_its_answer_the_reply(case: Case) -> None:
    message, method, target, sent, came = case
    desk = FakeDesk(found(msgspec.json.encode(came)))
    reply = asked(desk, message)
    ((got_method, got_target, got_body),) = desk.wire.asked
    assert (got_method, got_target) == (method, target)
    if sent is not ...:
        assert msgspec.json.decode(got_body or b"") == sent
    assert type(reply) is ANSWERS[type(message)].reply


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case[0]).__name__)
@pytest.mark.parametrize("status", [403, 404, 422])
def test_a_refusal_becomes_the_error_that_the_wire_has_for_it(case: Case, status: int) -> None:
    message = case[0]
    reply = asked(FakeDesk(refused(status)), message)
    counted = ANSWERS[type(message)].instead
    if isinstance(message, x.GetXCom | jobs.GetJobRecord) and status == 404:
        assert not isinstance(reply, ErrorResponse)  # absence is an answer here
        return
    assert isinstance(reply, ErrorResponse)
    missing = next((error for error in counted if error.endswith("NOT_FOUND")), ErrorType.API_SERVER_ERROR)
    denied = ErrorType.PERMISSION_DENIED if ErrorType.PERMISSION_DENIED in counted else ErrorType.API_SERVER_ERROR
    assert reply.error is {404: missing, 403: denied}.get(status, ErrorType.API_SERVER_ERROR)
    assert (reply.detail or {})["status_code"] == status


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case[0]).__name__)
def test_a_server_that_fails_is_said_to(case: Case) -> None:
    reply = asked(FakeDesk(found(b'{"detail": "boom"}', 500)), case[0])
    assert isinstance(reply, ErrorResponse)
    assert reply.error is ErrorType.API_SERVER_ERROR
    assert (reply.detail or {})["status_code"] == 500


@pytest.mark.parametrize(("message", "noted"), LOCALLY)
def test_what_is_local_asks_nobody(message: Message, noted: object) -> None:
    desk = FakeDesk()
    assert asked(desk, message) is None
    assert (desk.noted, desk.wire.asked) == ([noted], [])


def test_what_is_local_is_named() -> None:
    local = {question for question, handler in HANDLERS.items() if handler in LOCAL}
    expected = {type(message) for message, _ in LOCALLY}
    assert local == expected | {c.GetStopRequest, control.GiveReason, control.ResendLoggingFD, v.MaskSecret}


def test_a_value_that_json_has_no_form_for_is_told_to_its_asker() -> None:
    reply = asked(FakeDesk(), x.SetXCom("k", {"a": object()}, "d", "r", "t"))
    assert isinstance(reply, ErrorResponse)
    assert reply.error is ErrorType.GENERIC_ERROR
