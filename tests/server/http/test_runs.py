"""What tasks ask about runs and about each other."""

from datetime import datetime

from tests.server.http.live import LONG_GONE, Live


def test_a_task_starts_a_run_of_another_flow_once(server: Live) -> None:
    attempt = server.attempt()
    flow = server.submit()["dag_id"]
    where = f"/dag-runs/{flow}/run%2F1+00:00"
    body = {"conf": {"a": 1}, "note": "n", "logical_date": "2026-01-01T00:00:00Z"}
    assert attempt.ask("POST", where, json=body).status_code == 204
    again = attempt.ask("POST", where, json=body)
    assert (again.status_code, again.json()["detail"]["reason"]) == (409, "already_exists")
    run = attempt.ask("GET", where).json()
    assert (run["run_id"], run["conf"], run["run_type"]) == ("run/1+00:00", {"a": 1}, "operator_triggered")
    assert attempt.ask("GET", f"{where}/state").json()["state"] in {"queued", "running"}
    assert attempt.ask("POST", f"{where}/clear").status_code == 204
    assert attempt.ask("GET", where).json()["clear_number"] == 1


def test_what_is_not_there(server: Live) -> None:
    attempt = server.attempt()
    for method, path in [
        ("GET", "/dag-runs/no/no"),
        ("GET", "/dag-runs/no/no/state"),
        ("POST", "/dag-runs/no/no"),
        ("POST", "/dag-runs/no/no/clear"),
        ("GET", "/dags/no"),
    ]:
        answer = attempt.ask(method, path, json={} if method == "POST" else None)
        assert (answer.status_code, answer.json()["detail"]["reason"]) == (404, "not_found"), path


def test_a_flow_called_like_a_word_of_a_path(server: Live) -> None:
    attempt = server.attempt(dag_id="count")
    where = f"/dag-runs/count/{attempt.ti['run_id']}"
    assert attempt.ask("GET", where).json()["dag_id"] == "count"
    assert attempt.ask("GET", "/dag-runs/count", params={"dag_id": "count"}).json() == 1


def test_counts_and_states(server: Live) -> None:
    attempt = server.attempt({"task_id": "a"}, {"task_id": "b", "upstreams": ["a"]})
    flow, run = attempt.ti["dag_id"], attempt.ti["run_id"]
    whole = {"dag_id": flow}
    assert attempt.ask("GET", "/task-instances/count", params=whole).json() == 2
    some = whole | {"task_ids": ["a", "x"], "states": ["running"], "run_ids": [run], "map_index": -1}
    assert attempt.ask("GET", "/task-instances/count", params=some).json() == 1
    assert attempt.ask("GET", "/task-instances/count", params=whole | {"task_group_id": "g"}).json() == 0
    states = attempt.ask("GET", "/task-instances/states", params=whole).json()
    assert states == {"task_states": {run: {"a": "running", "b": "scheduled"}}}
    grouped = attempt.ask("GET", "/task-instances/states", params=whole | {"task_group_id": "g"})
    assert grouped.json() == {"task_states": {}}
    assert attempt.ask("GET", "/dag-runs/count", params=whole | {"states": ["running", "failed"]}).json() == 1
    assert attempt.ask("GET", "/dag-runs/count", params=whole | {"run_ids": ["x"]}).json() == 0


def test_earlier_runs(server: Live) -> None:
    first = server.attempt(dag_id="earlier", logical_date="2026-01-01T00:00:00Z")
    first.end("failed")
    second = server.attempt(dag_id="earlier", logical_date="2026-01-02T00:00:00Z")
    asked = {"dag_id": "earlier", "logical_date": "2026-01-02T00:00:00+00:00"}
    before = second.ask("GET", "/dag-runs/previous", params=asked).json()
    assert (before["run_id"], before["state"]) == (first.ti["run_id"], "failed")
    assert second.ask("GET", "/dag-runs/previous", params=asked | {"state": "success"}).json() is None
    previous = second.ask("GET", "/task-instances/previous/earlier/t", params={"logical_date": asked["logical_date"]})
    assert (previous.json()["run_id"], previous.json()["state"]) == (first.ti["run_id"], "failed")
    assert isinstance(previous.json()["duration"], float)
    assert second.ask("GET", "/task-instances/previous/earlier/t", params={"state": "skipped"}).json() is None


def test_breadcrumbs_are_of_what_ended(server: Live) -> None:
    attempt = server.attempt({"task_id": "a"}, {"task_id": "b"})
    params = {"dag_id": attempt.ti["dag_id"], "run_id": attempt.ti["run_id"]}
    assert attempt.ask("GET", "/task-instances/breadcrumbs", params=params).json() == {"breadcrumbs": []}
    attempt.end("skipped")
    crumbs = attempt.ask("GET", "/task-instances/breadcrumbs", params=params).json()["breadcrumbs"]
    assert [(crumb["task_id"], crumb["state"], crumb["map_index"]) for crumb in crumbs] == [("a", "skipped", -1)]
    assert datetime.fromisoformat(crumbs[0]["end_date"]).tzinfo is not None


def test_a_flow_and_the_note_of_a_run(server: Live) -> None:
    attempt = server.attempt(graph={"tags": ["x"]})
    flow = attempt.ask("GET", f"/dags/{attempt.ti['dag_id']}").json()
    assert (flow["bundle_name"], flow["relative_fileloc"], flow["is_paused"]) == ("local", "flows/a.py", False)
    assert flow["tags"] == ["x"]
    assert attempt.own("PATCH", "dag-run-note", json={"note": "seen"}).status_code == 204
    where = f"/dag-runs/{attempt.ti['dag_id']}/{attempt.ti['run_id']}"
    assert attempt.ask("GET", where).json()["note"] == "seen"
    assert attempt.own("GET", "previous-successful-dagrun").json() == {}
    assert LONG_GONE not in str(flow)
