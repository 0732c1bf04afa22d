"""Airflow's own client against our server: each method it has for our routes, its successes and its refusals."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.tokens import Scope
from tests.interop.client.talk import AirflowClient, Refused, airflow_client, message, uuid
from tests.interop.peers import VERSIONS
from tests.server.http.live import Attempt, Live, serving

pytestmark = [pytest.mark.interop, pytest.mark.slow]

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SOON = datetime(2099, 1, 1, tzinfo=UTC)
HOST = socket.gethostname()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("server") / "home") as live:
        yield live


@pytest.fixture(params=VERSIONS, scope="module")
def client(
    request: pytest.FixtureRequest, server: Live, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AirflowClient]:
    with airflow_client(request.param, server.url, "none", tmp_path_factory.mktemp("airflow")) as talking:
        yield talking


@pytest.fixture
def start(server: Live, client: AirflowClient) -> Callable[..., Attempt]:
    """Have the client hold a fresh attempt's workload token, and start it when asked to."""

    def starts(*tasks: dict[str, Any], run: bool = True, **more: Any) -> Attempt:
        attempt = server.attempt(*tasks, started=False, **more)
        client.token = attempt.token
        if run:
            client.call("task_instances.start", id=uuid(attempt.id), pid=7, when=WHEN)
        return attempt

    return starts


Start = Callable[..., Attempt]


def test_start_gives_the_context_and_swaps_the_token(server: Live, client: AirflowClient, start: Start) -> None:
    attempt = start({"task_id": "t", "retries": 2}, run=False)
    context = client.call("task_instances.start", id=uuid(attempt.id), pid=7, when=WHEN)
    assert context["dag_run"]["run_id"] == attempt.ti["run_id"]
    assert (context["max_tries"], context["should_retry"], context["xcom_keys_to_clear"]) == (2, True, [])
    assert server.tokens.verify(client.token, datetime.now(UTC)).scope is Scope.EXECUTION
    client.call("task_instances.start", id=uuid(attempt.id), pid=7, when=WHEN)
    with pytest.raises(Refused) as raised:
        client.call("task_instances.start", id=uuid(attempt.id), pid=8, when=WHEN)
    assert raised.value.error == "TaskAlreadyRunningError"


def test_a_token_is_refreshed_on_the_way(server: Live, client: AirflowClient, start: Start) -> None:
    attempt = start()
    old = datetime.now(UTC) - timedelta(seconds=550)
    client.token = aged = server.mint(Scope.EXECUTION, attempt.id, now=old)
    client.call("task_instances.heartbeat", id=uuid(attempt.id), pid=7)
    assert client.token != aged
    claims = server.tokens.verify(client.token, datetime.now(UTC))
    assert (claims.sub, claims.exp > datetime.now(UTC).timestamp() + 500) == (attempt.id, True)


End = tuple[str, dict[str, Any], str]

ENDS: list[End] = [
    ("succeed", {"when": WHEN, "task_outlets": [], "outlet_events": [], "rendered_map_index": None}, "success"),
    ("finish", {"state": "failed", "when": WHEN, "rendered_map_index": None}, "failed"),
    ("finish", {"state": "skipped", "when": WHEN, "rendered_map_index": "x"}, "skipped"),
    ("finish", {"state": "removed", "when": WHEN, "rendered_map_index": None}, "removed"),
    (
        "retry",
        {"end_date": WHEN, "rendered_map_index": None, "retry_delay_seconds": 1.5, "retry_reason": "r"},
        "up_for_retry",
    ),
    ("reschedule", {"msg": message("RescheduleTask", reschedule_date=SOON, end_date=WHEN)}, "up_for_reschedule"),
    (
        "defer",
        {
            "msg": message(
                "DeferTask",
                classpath="a.B",
                next_method="m",
                trigger_timeout=5,
                next_kwargs={"a": 1},
                trigger_kwargs={"x": {"y": None}},
            )
        },
        "deferred",
    ),
    ("await_input", {"msg": message("AwaitInputTask", next_method="m", timeout=60)}, "awaiting_input"),
]  # fmt: skip - a table


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end[2])
def test_each_end(server: Live, client: AirflowClient, start: Start, end: End) -> None:
    method, arguments, state = end
    attempt = start({"task_id": "t", "retries": 1})
    for _ in range(2):  # told again, as after a lost answer
        client.call(f"task_instances.{method}", id=uuid(attempt.id), **arguments)
    assert server.state_of(attempt.id) == state
    with pytest.raises(Refused) as raised:
        client.call("task_instances.heartbeat", id=uuid(attempt.id), pid=7)
    gone = (410, "not_found") if state == "up_for_retry" else (409, "not_running")
    assert (raised.value.status, raised.value.detail["reason"]) == gone
    if state != "up_for_retry":
        with pytest.raises(Refused) as raised:
            client.call(
                "task_instances.finish",
                id=uuid(attempt.id),
                state="upstream_failed",
                when=WHEN,
                rendered_map_index=None,
            )  # fmt: skip - one call
        assert (raised.value.status, raised.value.detail["previous_state"]) == (409, state)


def test_refusals_are_understood(server: Live, client: AirflowClient, start: Start) -> None:
    attempt = start()
    with pytest.raises(Refused) as raised:
        client.call("task_instances.heartbeat", id=uuid(attempt.id), pid=8)
    detail = raised.value.detail
    assert (raised.value.error, raised.value.status) == ("ServerResponseError", 409)
    assert (detail["reason"], detail["current_hostname"], detail["current_pid"]) == ("running_elsewhere", HOST, 7)
    other = server.attempt()
    with pytest.raises(Refused) as raised:
        client.call("task_instances.heartbeat", id=uuid(other.id), pid=1)
    assert raised.value.status == 403
    client.token = "none"  # noqa: S105 - it is none
    with pytest.raises(Refused) as raised:
        client.call("task_instances.heartbeat", id=uuid(other.id), pid=1)
    assert (raised.value.error, raised.value.status) == ("ServerResponseError", 403)
    answer = client.call("variables.get", key="a")
    assert answer["error"] == "PERMISSION_DENIED"


def test_what_hangs_on_an_attempt(client: AirflowClient, start: Start) -> None:
    attempt = start({"task_id": "a"}, {"task_id": "b", "upstreams": ["a"]})
    own = uuid(attempt.id)
    assert client.call("task_instances.set_rtif", id=own, body={"bash": "echo"}) == {"ok": True, "type": "OKResponse"}
    client.call("task_instances.set_rendered_map_index", id=own, rendered_map_index="north")
    client.call(
        "task_instances.skip_downstream_tasks", id=own, msg=message("SkipDownstreamTasks", tasks=["b", ["c", 1]])
    )
    assert client.call("task_instances.get_previous_successful_dagrun", id=own)["start_date"] is None
    assert client.call("task_instances.get_reschedule_start_date", id=own)["start_date"] is None
    assert client.call("task_instances.validate_inlets_and_outlets", id=own) == {"inactive_assets": []}
    flow, run = attempt.ti["dag_id"], attempt.ti["run_id"]
    asked = {"dag_id": flow, "task_ids": ["a", "b"], "run_ids": [run], "states": ["running"]}
    assert client.call("task_instances.get_count", **asked)["count"] == 1
    states = client.call("task_instances.get_task_states", dag_id=flow)
    assert states == {"task_states": {run: {"a": "running", "b": "skipped"}}}
    crumbs = client.call("task_instances.get_task_breakcrumbs", dag_id=flow, run_id=run)["breadcrumbs"]
    assert [crumb["task_id"] for crumb in crumbs] == ["b"]
    previous = client.call("task_instances.get_previous", dag_id=flow, task_id="a", logical_date=SOON, state="success")
    assert previous["task_instance"] is None


def test_variables_and_connections(server: Live, client: AirflowClient, start: Start) -> None:
    start()
    assert client.call("variables.get", key="absent")["error"] == "VARIABLE_NOT_FOUND"
    client.call("variables.set", key="i/a b", value="1", description="d")
    assert client.call("variables.get", key="i/a b") == {"key": "i/a b", "value": "1"}
    assert client.call("variables.keys", prefix="i/") == {"keys": ["i/a b"], "total_entries": 1}
    client.call("variables.delete", key="i/a b")
    assert client.call("variables.keys", prefix="i/")["total_entries"] == 0
    server.people("PUT", "/connections/db", json={"conn_type": "http", "host": "h", "password": "p", "port": 1})
    found = client.call("connections.get", conn_id="db")
    assert (found["conn_type"], found["password"], found["schema"]) == ("http", "p", None)
    assert client.call("connections.get", conn_id="absent")["error"] == "CONNECTION_NOT_FOUND"


def test_xcoms(client: AirflowClient, start: Start) -> None:
    attempt = start()
    where = {name: attempt.ti[name] for name in ("dag_id", "run_id", "task_id")} | {"key": "k/1"}
    assert client.call("xcoms.get", **where)["value"] is None
    for value in ({"a": [1, None]}, "text", None):
        client.call("xcoms.set", **where, value=value, dag_result=True, mapped_length=2)
        assert client.call("xcoms.get", **where, include_prior_dates=True)["value"] == value
    assert client.call("xcoms.head", **where)["len"] == 1
    assert client.call("xcoms.get_sequence_item", **where, offset=-1) is None
    assert client.call("xcoms.get_sequence_item", **where, offset=3)["error"] == "XCOM_NOT_FOUND"
    assert client.call("xcoms.get_sequence_slice", **where, start=0, stop=5, step=2) == [None]
    client.call("xcoms.delete", **where)
    assert client.call("xcoms.head", **where)["len"] == 0
    with pytest.raises(Refused) as raised:
        client.call("xcoms.set", **where | {"task_id": "no"}, value=1)
    assert (raised.value.status, raised.value.detail["reason"]) == (404, "not_found")


def test_the_stores(client: AirflowClient, start: Start) -> None:
    attempt = start()
    own = {"ti_id": uuid(attempt.id)}
    assert client.call("task_state_store.get", **own, key="a/%")["error"] == "TASK_STORE_NOT_FOUND"
    client.call("task_state_store.set", **own, key="a/%", value={"x": 1}, expires_at=SOON)
    assert client.call("task_state_store.get", **own, key="a/%") == {"value": {"x": 1}}
    client.call("task_state_store.delete", **own, key="a/%")
    client.call("task_state_store.clear", **own)
    outlets = [{"$": "AssetProfile", "v": {"name": "as", "uri": "s3://as", "type": "Asset"}}]
    told = [{"dest_asset_key": {"name": "as", "uri": "s3://as"}, "extra": {"rows": "3"}}]
    end = {"when": WHEN, "task_outlets": outlets, "outlet_events": told, "rendered_map_index": None}
    client.call("task_instances.succeed", id=uuid(attempt.id), **end)
    assert client.call("assets.get", name="as")["uri"] == "s3://as"
    assert client.call("assets.get", uri="s3://as")["name"] == "as"
    assert client.call("assets.get", name="absent")["error"] == "ASSET_NOT_FOUND"
    assert client.call("assets.get_by_alias", alias_name="none")["assets"] == []
    events = client.call("asset_events.get", name="as", ascending=False, limit=1, before=SOON)["asset_events"]
    assert (events[0]["extra"], events[0]["source_dag_id"]) == ({"rows": "3"}, attempt.ti["dag_id"])
    assert client.call("asset_events.get", alias_name="none") == {"asset_events": []}
    for which in ({"name": "as"}, {"uri": "s3://as"}):
        assert client.call("asset_state_store.get", key="k", **which)["error"] == "ASSET_STORE_NOT_FOUND"
        client.call("asset_state_store.set", key="k", value=[1], **which)
        assert client.call("asset_state_store.get", key="k", **which) == {"value": [1]}
        client.call("asset_state_store.delete", key="k", **which)
        client.call("asset_state_store.clear", **which)


def test_runs(client: AirflowClient, start: Start) -> None:
    attempt = start(logical_date="2026-01-01T00:00:00Z")
    flow, run = attempt.ti["dag_id"], attempt.ti["run_id"]
    asked = {"dag_id": flow, "run_id": "triggered__1"}
    assert client.call("dag_runs.trigger", **asked, conf={"a": 1}, logical_date=WHEN, note="n")["ok"] is True
    assert client.call("dag_runs.trigger", **asked)["error"] == "DAGRUN_ALREADY_EXISTS"
    assert client.call("dag_runs.trigger", **asked, reset_dag_run=True)["ok"] is True
    assert client.call("dag_runs.clear", **asked)["ok"] is True
    detail = client.call("dag_runs.get_detail", **asked)
    assert (detail["conf"], detail["note"], detail["clear_number"]) == ({"a": 1}, "n", 2)
    assert client.call("dag_runs.get_state", **asked)["state"] in {"queued", "running"}
    assert client.call("dag_runs.get_count", dag_id=flow, run_ids=[run, "triggered__1"])["count"] == 2
    before = client.call("dag_runs.get_previous", dag_id=flow, logical_date=WHEN)
    assert before["dag_run"]["run_id"] == run
    assert client.call("dag_runs.get_previous", dag_id=flow, logical_date=WHEN, state="failed")["dag_run"] is None
    assert client.call("dags.get", dag_id=flow)["relative_fileloc"] == "flows/a.py"
    for method, arguments in (("dag_runs.get_detail", asked | {"run_id": "no"}), ("dags.get", {"dag_id": "no"})):
        with pytest.raises(Refused) as raised:
            client.call(method, **arguments)
        assert (raised.value.status, raised.value.detail["reason"]) == (404, "not_found")


def test_a_human_in_the_loop(client: AirflowClient, start: Start) -> None:
    attempt = start()
    own = {"ti_id": uuid(attempt.id)}
    question = {
        "options": ["yes", "no"],
        "subject": "?",
        "body": "b",
        "defaults": ["no"],
        "params": {"p": {"value": 1}},
    }
    users = [{"$": "HITLUser", "v": {"id": "1", "name": "ann"}}]
    asked = client.call("hitl.add_response", **own, **question, assigned_users=users)
    assert (asked["options"], asked["assigned_users"]) == (["yes", "no"], [{"id": "1", "name": "ann"}])
    assert client.call("hitl.get_detail_response", **own)["response_received"] is False
    answered = client.call("hitl.update_response", **own, chosen_options=["yes"], params_input={"p": 2})
    assert (answered["response_received"], answered["chosen_options"]) == (True, ["yes"])
    with pytest.raises(Refused) as raised:
        client.call("hitl.update_response", **own, chosen_options=["no"], params_input={})
    assert raised.value.status == 409


def test_the_note_of_a_run(client: AirflowClient, start: Start, request: pytest.FixtureRequest) -> None:
    if "1.3.2" in request.node.name:
        pytest.skip("this version has no such method")
    attempt = start()
    where = f"/dag-runs/{attempt.ti['dag_id']}/{attempt.ti['run_id']}"
    for note, left in (("seen", "seen"), (None, "seen"), ("", None)):
        client.call("task_instances.update_dagrun_note", id=uuid(attempt.id), note=note)
        attempt.token = client.token
        assert attempt.ask("GET", where).json()["note"] == left


def test_every_method_was_called_or_has_no_route_here(server: Live, tmp_path: Path) -> None:
    """Connection tests and callbacks belong to Airflow's scheduler: nothing of ours makes them."""
    ours = Path(__file__).read_text()
    with ExitStack() as stack:
        clients = [stack.enter_context(airflow_client(version, server.url, "none", tmp_path)) for version in VERSIONS]
        for talking in clients:
            for operations in (
                "task_instances",
                "variables",
                "connections",
                "xcoms",
                "task_state_store",
                "assets",
                "asset_state_store",
                "asset_events",
                "dag_runs",
                "dags",
                "hitl",
            ):  # fmt: skip - names
                for method in talking.methods(operations):
                    called = f"{operations}.{method}" in ours or f'"{method}"' in ours
                    assert called, f"{operations}.{method}"
