"""The life of an attempt over the wire: run, heartbeat, and each of its ends."""

from datetime import UTC, datetime
from typing import Any

import pytest

from server.tokens import Scope
from tests.protocol.http.test_instances import ENDS
from tests.server.http.live import BEAT, LONG_GONE, PROCESS, RUNNING, WHEN, Live

RETRIED = {"task_id": "t", "retries": 1, "retry_delay_s": 0}


def test_an_attempt_from_claim_to_success(server: Live) -> None:
    attempt = server.attempt({"task_id": "t", "args": [{"kind": "literal", "name": "n", "value": 3}]}, started=False)
    ti, workload = attempt.ti, attempt.workload
    assert (ti["task_id"], ti["try_number"], ti["map_index"], ti["queue"]) == ("t", 1, -1, ti["dag_id"])
    assert (workload["type"], workload["dag_rel_path"]) == ("ExecuteTask", "flows/a.py")
    assert workload["bundle_info"]["name"] == "local"
    assert workload["lease"] == {"seconds": 30.0, "fence": 1}
    context = attempt.run()
    assert context["dag_run"]["run_id"] == ti["run_id"]
    assert context["dag_run"]["state"] == "running"
    assert (context["max_tries"], context["should_retry"], context["xcom_keys_to_clear"]) == (0, False, [])
    assert context["arg_bindings"][0] | {"kind": "literal", "name": "n", "value": 3} == context["arg_bindings"][0]
    assert attempt.own("PUT", "heartbeat", json=BEAT).status_code == 204
    ended = attempt.end("success")
    assert (ended.status_code, ended.content) == (204, b"")
    again = attempt.end("success")
    assert (again.status_code, again.content) == (200, b"")
    assert server.state_of(attempt.id) == "success"


def test_running_can_be_told_again_by_the_same_process_only(server: Live) -> None:
    attempt = server.attempt()
    assert attempt.run()["max_tries"] == 0
    other = attempt.own("PATCH", "run", json=RUNNING | {"pid": 2})
    detail = other.json()["detail"]
    assert (other.status_code, detail["reason"], detail["previous_state"]) == (409, "invalid_state", "running")


@pytest.mark.parametrize("state", ["success", "failed"])
def test_what_ended_does_not_run(server: Live, state: str) -> None:
    attempt = server.attempt()
    attempt.end(state)
    answer = attempt.own("PATCH", "run", json=RUNNING)
    assert (answer.status_code, answer.json()["detail"]["previous_state"]) == (409, state)
    other = attempt.end("skipped")
    detail = other.json()["detail"]
    assert (other.status_code, detail["reason"], detail["previous_state"]) == (409, "invalid_state", state)


LEADS_TO = {state: state for state in ENDS} | {"server_terminated": None}


@pytest.mark.parametrize("state", ENDS)
def test_each_end_is_taken_and_may_be_told_again(server: Live, state: str) -> None:
    attempt = server.attempt(RETRIED | {"resume": "manual", "retry_delay_s": 3600})
    fields = ENDS[state] | ({"reschedule_date": "2099-01-01T00:00:00Z"} if state == "up_for_reschedule" else {})
    first = attempt.end(state, **fields)
    if state == "server_terminated":
        assert first.status_code in {204, 409}
        return
    assert first.status_code == 204, first.text
    assert attempt.end(state, **fields).status_code == 200
    assert server.state_of(attempt.id) == state


def test_a_retry_is_a_new_attempt_and_the_old_one_is_gone(server: Live) -> None:
    attempt = server.attempt(RETRIED)
    assert attempt.run()["should_retry"] is True
    assert attempt.end("up_for_retry", end_date=WHEN, retry_reason="later").status_code == 204
    second = server.claim(attempt.ti["dag_id"])[0]
    assert (second.id != attempt.id, second.ti["try_number"]) == (True, 2)
    assert attempt.end("up_for_retry", end_date=WHEN, retry_reason="later").status_code == 200
    gone = attempt.own("PUT", "heartbeat", json=BEAT)
    assert (gone.status_code, gone.json()["detail"]["reason"]) == (410, "not_found")
    assert attempt.own("PUT", "rtif", json={}).status_code == 410
    assert attempt.end("success").status_code == 404
    assert second.run()["should_retry"] is False


def test_a_retry_clears_what_the_try_before_left(server: Live) -> None:
    attempt = server.attempt(RETRIED)
    assert attempt.ask("POST", attempt.xcom("a"), json=1).status_code == 201
    attempt.end("up_for_retry")
    assert server.claim(attempt.ti["dag_id"])[0].run()["xcom_keys_to_clear"] == ["a"]


def test_a_rescheduled_task_goes_on_as_the_same_attempt(server: Live) -> None:
    attempt = server.attempt({"task_id": "t"})
    assert attempt.end("up_for_reschedule", end_date=WHEN, reschedule_date=WHEN).status_code == 204
    again = server.claim(attempt.ti["dag_id"])[0]
    assert (again.id, again.ti["try_number"]) == (attempt.id, 1)
    context = again.run()
    assert context["task_reschedule_count"] == 1
    start = again.ask("GET", f"/task-reschedules/{again.id}/start_date", params={"try_number": 1})
    assert datetime.fromisoformat(start.json()) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("beat", "detail"),
    [
        (BEAT | {"pid": 2}, {"reason": "running_elsewhere", "current_hostname": "h", "current_pid": 1}),
        (BEAT | {"hostname": "x"}, {"reason": "running_elsewhere", "current_hostname": "h", "current_pid": 1}),
    ],
)
def test_a_heartbeat_from_elsewhere(server: Live, beat: dict[str, Any], detail: dict[str, Any]) -> None:
    answer = server.attempt().own("PUT", "heartbeat", json=beat)
    assert answer.status_code == 409
    assert detail.items() <= answer.json()["detail"].items()


def test_a_heartbeat_of_what_does_not_run(server: Live) -> None:
    attempt = server.attempt()
    attempt.end("failed")
    answer = attempt.own("PUT", "heartbeat", json=BEAT)
    assert answer.status_code == 409
    assert {"reason": "not_running", "current_state": "failed"}.items() <= answer.json()["detail"].items()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "run", RUNNING),
        ("PATCH", "state", {"state": "success", "end_date": WHEN}),
        ("PUT", "heartbeat", BEAT),
        ("POST", "remark", {"why": "x"}),
        ("PUT", "rtif", {}),
        ("PATCH", "rendered-map-index", "x"),
        ("PATCH", "skip-downstream", {"tasks": []}),
        ("GET", "previous-successful-dagrun", None),
        ("GET", "validate-inlets-and-outlets", None),
        ("PUT", "checkpoint", {"data": 1}),
        ("GET", "checkpoint", None),
        ("PUT", "log?offset=0", None),
        ("PATCH", "dag-run-note", {"note": "x"}),
    ],
)
def test_an_attempt_nobody_knows_is_404(server: Live, method: str, path: str, body: Any) -> None:
    headers = {"authorization": f"Bearer {server.mint(Scope.EXECUTION, LONG_GONE)}"}
    answer = server.http.request(method, f"/execution/task-instances/{LONG_GONE}/{path}", headers=headers, json=body)
    assert (answer.status_code, answer.json()["detail"]["reason"]) == (404, "not_found")


def test_a_remark_is_in_the_timeline(server: Live) -> None:
    attempt = server.attempt()
    assert attempt.own("POST", "remark", json={"why": "it may be too late"}).status_code == 204
    assert attempt.own("POST", "remark", json={"why": "x" * 501}).status_code == 422
    events = server.people("GET", f"/task-instances/{attempt.id}/timeline").json()["events"]
    assert [event["why"] for event in events if event["what"] == "remark"] == ["it may be too late"]


def test_rendered_fields_and_names(server: Live) -> None:
    attempt = server.attempt()
    assert attempt.own("PUT", "rtif", json={"bash_command": "echo é", "env": {"a": [1]}}).status_code == 201
    assert attempt.own("PATCH", "rendered-map-index", json="north").status_code == 204
    assert server.people("GET", f"/task-instances/{attempt.id}").json()["rendered_map_index"] == "north"
    assert attempt.own("PATCH", "rendered-map-index", json="").status_code == 422


def test_downstream_tasks_are_skipped(server: Live) -> None:
    attempt = server.attempt({"task_id": "a"}, {"task_id": "b", "upstreams": ["a"]}, {"task_id": "c"})
    assert attempt.own("PATCH", "skip-downstream", json={"tasks": ["b", ["c", 3]]}).status_code == 204
    run = {"flow": attempt.ti["dag_id"], "task": "b"}
    assert server.people("GET", "/task-instances", params=run).json()["instances"][0]["state"] == "skipped"


def test_the_run_before(server: Live) -> None:
    first = server.attempt(dag_id="succeeds", logical_date="2026-01-01T00:00:00Z")
    assert first.own("GET", "previous-successful-dagrun").json() == {}
    first.end("success")
    second = server.attempt(dag_id="succeeds", logical_date="2026-01-02T00:00:00Z")
    assert second.own("GET", "previous-successful-dagrun").json().keys() >= {"start_date", "end_date"}
    assert second.own("GET", "validate-inlets-and-outlets").json() == {"inactive_assets": []}


def test_a_plain_task_has_its_command_and_policy(server: Live) -> None:
    attempt = server.attempt(
        {"task_id": "t", "runtime": "plain", "command": ["true"], "timeout_s": 5, "grace_s": 2, "outage": "keep"},
        started=False,
    )
    assert (attempt.workload["runtime"], attempt.workload["command"]) == ("plain", ["true"])
    assert attempt.workload["policy"] == {
        "execution_timeout_s": 5,
        "progress_timeout_s": None,
        "outage": "keep",
        "grace_s": 2,
        "outage_after_s": None,
    }


def test_process_is_who_runs_it(server: Live) -> None:
    attempt = server.attempt()
    shown = server.people("GET", f"/task-instances/{attempt.id}").json()
    assert {"hostname": PROCESS["hostname"], "pid": 1, "worker": "w", "state": "running"}.items() <= shown.items()
