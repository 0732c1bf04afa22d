"""What people do: submit, look, clear, kill, resume, mark."""

from typing import Any

import pytest

from tests.server.http.live import BEAT, LONG_GONE, WHEN, Live

ONE = {"task_id": "a"}


def test_a_run_and_what_is_in_it(server: Live) -> None:
    run = server.submit(ONE, {"task_id": "b", "upstreams": ["a"]}, conf={"x": 1}, note="n", params={"p": 1})
    assert (run["state"] in {"queued", "running"}, run["conf"], run["note"]) == (True, {"x": 1}, "n")
    where = f"/flows/{run['dag_id']}/runs/{run['run_id']}"
    server.claim(run["dag_id"])
    assert server.people("GET", where).json()["counts"] == {"queued": 1, "scheduled": 1}
    page = server.people("GET", "/task-instances", params={"flow": run["dag_id"], "run": run["run_id"]}).json()
    assert ([each["task_id"] for each in page["instances"]], page["total"]) == (["a", "b"], 2)


def test_a_run_id_is_taken_once(server: Live) -> None:
    run = server.submit(ONE, run_id="r/1 é%")
    graph = {"dag_id": run["dag_id"], "tasks": [ONE]}
    again = server.people("POST", f"/flows/{run['dag_id']}/runs", json={"graph": graph, "run_id": "r/1 é%"})
    assert (again.status_code, again.json()["detail"]["reason"]) == (409, "already_exists")
    assert server.people("GET", f"/flows/{run['dag_id']}/runs/r%2F1%20%C3%A9%25").json()["run_id"] == "r/1 é%"


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ({"dag_id": "f", "tasks": []}, "it has no tasks"),
        ({"dag_id": "other", "tasks": [ONE]}, "the path says"),
        ({"dag_id": "f", "tasks": [ONE, ONE]}, "two tasks are called"),
        ({"dag_id": "f", "tasks": [ONE | {"upstreams": ["a"]}]}, "wait for each other"),
    ],
)
def test_a_flow_that_cannot_run_is_not_kept(server: Live, graph: dict[str, Any], said: str) -> None:
    answer = server.people("POST", "/flows/f/runs", json={"graph": graph})
    assert (answer.status_code, answer.json()["detail"]["reason"]) == (422, "invalid_flow")
    assert said in answer.json()["detail"]["message"]
    assert server.people("GET", "/runs", params={"flow": "f"}).json() == {"runs": [], "total": 0}


def test_lists_are_paged_and_filtered(server: Live) -> None:
    for number in range(3):
        server.submit(dag_id="paged", run_id=f"r{number}")
    page = server.people("GET", "/runs", params={"flow": "paged", "limit": 2, "offset": 1}).json()
    assert ([run["run_id"] for run in page["runs"]], page["total"]) == (["r1", "r0"], 3)
    assert server.people("GET", "/runs", params={"flow": "paged", "state": "failed"}).json()["total"] == 0
    assert server.people("GET", "/runs", params={"flow": "paged", "run": "r2"}).json()["total"] == 1
    page = server.people("GET", "/task-instances", params={"flow": "paged", "limit": 1}).json()
    assert (len(page["instances"]), page["total"]) == (1, 3)
    assert server.people("GET", "/runs", params={"limit": 1001}).status_code == 422
    assert server.people("GET", "/runs", params={"state": "lost"}).status_code == 422


def test_the_end_of_a_run_can_be_waited_for(server: Live) -> None:
    attempt = server.attempt(ONE)
    where = f"/flows/{attempt.ti['dag_id']}/runs/{attempt.ti['run_id']}"
    assert server.people("GET", where, params={"wait_s": 0.2}).json()["state"] == "running"
    attempt.end("success")
    assert server.people("GET", where, params={"wait_s": 20}).json()["state"] == "success"


def test_a_killed_attempt_is_told_at_its_next_heartbeat(server: Live) -> None:
    attempt = server.attempt(ONE)
    killed = server.people("POST", f"/task-instances/{attempt.id}/kill", json={"reason": "it hangs"})
    assert killed.json()["instances"][0]["state"] == "failed"
    beat = attempt.own("PUT", "heartbeat", json=BEAT)
    assert (beat.status_code, beat.json()["detail"]["reason"]) == (409, "not_running")
    assert attempt.end("success").status_code == 409
    again = server.people("POST", f"/task-instances/{attempt.id}/kill", json={"reason": "again"})
    assert again.json() == killed.json()
    shown = server.people("GET", f"/task-instances/{attempt.id}").json()
    assert "it hangs" in shown["reason"]


def test_what_ended_is_cleared_and_runs_again(server: Live) -> None:
    attempt = server.attempt(ONE, {"task_id": "b", "upstreams": ["a"]})
    attempt.end("failed")
    where = f"/flows/{attempt.ti['dag_id']}/runs/{attempt.ti['run_id']}"
    assert server.people("GET", where, params={"wait_s": 20}).json()["counts"] == {"failed": 1, "upstream_failed": 1}
    cleared = server.people("POST", f"/task-instances/{attempt.id}/clear", json={"downstream": True})
    assert [(each["task_id"], each["state"]) for each in cleared.json()["instances"]] == [
        ("a", "scheduled"),
        ("b", "scheduled"),
    ]
    assert cleared.json()["total"] == 2
    assert cleared.status_code == 200, cleared.text
    second = server.claim(attempt.ti["dag_id"])[0]
    assert second.id != attempt.id
    second.run()
    story = server.people("GET", f"/task-instances/{attempt.id}/timeline").json()
    assert [each["state"] for each in story["attempts"]] == ["failed", "running"]
    assert story["instance"]["id"] == second.id
    assert {"what", "why", "at", "attempt", "try_number", "detail"} == story["events"][0].keys()
    assert server.people("GET", f"/task-instances/{attempt.id}").json()["state"] == "failed"


def test_of_a_long_story_the_last_is_told_and_the_rest_when_it_is_asked_for(server: Live) -> None:
    attempt = server.attempt(ONE)
    for number in range(7):
        attempt.own("POST", "remark", json={"why": f"remark {number}"})
    where = f"/task-instances/{attempt.id}/timeline"
    whole = server.people("GET", where).json()
    total = whole["total_events"]
    assert (total, whole["total_attempts"]) == (len(whole["events"]), 1)
    pages = [server.people("GET", where, params={"limit": 4, "offset": at}).json() for at in range(0, total, 4)]
    assert [len(page["events"]) for page in pages[:2]] == [4, 4]
    assert [page["total_events"] for page in pages] == [total] * len(pages)
    assert [len(page["attempts"]) for page in pages] == [1] + [0] * (len(pages) - 1)
    assert [event for page in reversed(pages) for event in page["events"]] == whole["events"]


def test_what_is_very_much_is_cleared_whole_and_listed_in_part(server: Live) -> None:
    attempt = server.attempt(ONE, {"task_id": "b", "map_over": "a", "upstreams": ["a"]})
    many = 1200
    attempt.ask("POST", attempt.xcom(), json=list(range(many)), params={"mapped_length": many})
    attempt.end("success")
    server.claim(attempt.ti["dag_id"], 1)
    cleared = server.people("POST", f"/task-instances/{attempt.id}/clear", json={"downstream": True}).json()
    assert (len(cleared["instances"]), cleared["total"]) == (1000, 1 + many)
    assert [each["task_id"] for each in cleared["instances"][:2]] == ["a", "b"]


@pytest.mark.parametrize(("keep", "found"), [(True, {"step": 7}), (False, None)])
def test_clearing_keeps_the_checkpoint_or_does_not(server: Live, *, keep: bool, found: Any) -> None:
    attempt = server.attempt(ONE)
    attempt.own("PUT", "checkpoint", json={"data": {"step": 7}})
    attempt.end("failed")
    server.people("POST", f"/task-instances/{attempt.id}/clear", json={"keep_checkpoint": keep})
    again = server.claim(attempt.ti["dag_id"])[0]
    again.run()
    checkpoint = again.own("GET", "checkpoint").json()["checkpoint"]
    assert (checkpoint or {}).get("data") == found


def test_a_held_checkpoint_is_resumed_by_hand(server: Live) -> None:
    attempt = server.attempt(ONE | {"resume": "manual"})
    attempt.own("PUT", "checkpoint", json={"data": 1})
    attempt.end("checkpointed", end_date=WHEN)
    assert server.claim(attempt.ti["dag_id"], wait_s=0) == []
    current = server.people("GET", "/task-instances", params={"flow": attempt.ti["dag_id"]}).json()["instances"][0]
    assert current["state"] == "checkpointed"
    resumed = server.people("POST", f"/task-instances/{current['id']}/resume")
    assert resumed.status_code == 200, resumed.text
    assert len(server.claim(attempt.ti["dag_id"])) == 1


@pytest.mark.parametrize("state", ["success", "failed", "skipped"])
def test_people_may_say_how_it_ended(server: Live, state: str) -> None:
    attempt = server.attempt(ONE)
    marked = server.people("POST", f"/task-instances/{attempt.id}/mark", json={"state": state, "reason": "because"})
    instance = marked.json()["instances"][0]
    assert (instance["state"], instance["reason"]) == (state, "marked by hand: because")
    assert attempt.own("PUT", "heartbeat", json=BEAT).status_code in {409, 410}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/task-instances/{LONG_GONE}", None),
        ("GET", f"/task-instances/{LONG_GONE}/timeline", None),
        ("GET", f"/task-instances/{LONG_GONE}/log", None),
        ("POST", f"/task-instances/{LONG_GONE}/clear", {}),
        ("POST", f"/task-instances/{LONG_GONE}/kill", {}),
        ("POST", f"/task-instances/{LONG_GONE}/stop", {}),
        ("POST", f"/task-instances/{LONG_GONE}/resume", None),
        ("POST", f"/task-instances/{LONG_GONE}/mark", {"state": "success"}),
        ("GET", "/flows/no/runs/no", None),
        ("POST", "/flows/no/runs/no/clear", None),
        ("POST", "/flows/no/pause", None),
        ("GET", "/variables/no", None),
    ],
)
def test_what_is_not_there_is_404(server: Live, method: str, path: str, body: Any) -> None:
    answer = server.people(method, path, json=body)
    assert (answer.status_code, answer.json()["detail"]["reason"]) == (404, "not_found")


def test_a_whole_run_is_cleared(server: Live) -> None:
    attempt = server.attempt(ONE)
    attempt.end("success")
    where = f"/flows/{attempt.ti['dag_id']}/runs/{attempt.ti['run_id']}"
    assert server.people("GET", where, params={"wait_s": 20}).json()["state"] == "success"
    assert server.people("POST", f"{where}/clear").json()["clear_number"] == 1
    assert len(server.claim(attempt.ti["dag_id"])) == 1


def test_a_paused_flow_waits(server: Live) -> None:
    flow = server.submit(ONE)["dag_id"]
    server.claim(flow)
    assert server.people("POST", f"/flows/{flow}/pause").status_code == 204
    server.submit(ONE, dag_id=flow)
    assert server.claim(flow, wait_s=0.3) == []
    assert server.people("POST", f"/flows/{flow}/unpause").status_code == 204
    assert len(server.claim(flow)) == 1


def test_variables_and_pools(server: Live) -> None:
    assert server.people("PUT", "/variables/p%2Fq", json={"val": "v"}).status_code == 204
    assert server.people("GET", "/variables/p/q").json() == {"key": "p/q", "value": "v"}
    assert "p/q" in server.people("GET", "/variables").json()["keys"]
    assert server.people("DELETE", "/variables/p/q").status_code == 204
    assert server.people("POST", "/pools", json={"name": "narrow", "slots": 1}).status_code == 204
    assert {"name": "narrow", "slots": 1, "used": 0} in server.people("GET", "/pools").json()["pools"]
    flow = server.submit(ONE | {"pool": "narrow"}, {"task_id": "b", "pool": "narrow"})["dag_id"]
    assert len(server.claim(flow)) == 1
