"""What tasks leave for each other: XComs, variables, connections, state stores, assets."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.server.http.live import WHEN, Attempt, Live

KEYS = [
    "plain",
    "a/b//c",
    "50%",
    "%2F",
    "..",
    ".",
    "../../x",
    "ключ 鍵",
    "a?b#c&d=e",
    "'; DROP TABLE x; --",
    "a" * 200,
    " ",
    "+",
]
VALUES: list[Any] = [None, 0, -1.5, "", "é\u0000", [], {}, {"a": [1, {"b": None}]}, 2**53, "x" * 10_000, True]


@pytest.fixture(scope="module")
def attempt(server: Live) -> Attempt:
    return server.attempt()


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_a_key_whatever_is_in_it(attempt: Attempt, key: str) -> None:
    quoted = quote(key, safe="").replace(".", "%2E")
    for path, body, value in [
        (f"/variables/{quoted}", {"val": key}, {"key": key, "value": key}),
        (f"/store/ti/{attempt.id}/{quoted}", {"value": key}, {"value": key}),
        (
            f"/xcoms/d/r/t/{quoted}".replace("/d/r/t/", attempt.xcom("").removeprefix("/xcoms")),
            key,
            {"key": key, "value": key},
        ),
    ]:  # fmt: skip - a table
        method = "POST" if path.startswith("/xcoms") else "PUT"
        assert attempt.ask(method, path, json=body).status_code in {201, 204}, path
        assert attempt.ask("GET", path).json() == value
        assert attempt.ask("DELETE", path).status_code in {200, 204}
        assert attempt.ask("GET", path).status_code == 404


def test_a_key_with_slashes_may_come_unquoted(attempt: Attempt) -> None:
    assert attempt.ask("PUT", "/variables/a/b/c", json={"val": "v"}).status_code == 201
    assert attempt.ask("GET", "/variables/a%2Fb/c").json() == {"key": "a/b/c", "value": "v"}


@pytest.mark.parametrize("value", VALUES)
def test_an_xcom_is_what_was_written(attempt: Attempt, value: Any) -> None:
    where = attempt.xcom()
    assert attempt.ask("POST", where, json=value).status_code == 201
    assert attempt.ask("GET", where).json() == {"key": "return_value", "value": value}


def test_an_absent_xcom_and_one_of_an_unknown_task(attempt: Attempt) -> None:
    answer = attempt.ask("GET", attempt.xcom("absent"))
    assert (answer.status_code, answer.json()["detail"]["reason"]) == (404, "not_found")
    assert attempt.ask("DELETE", attempt.xcom("absent")).status_code == 200
    assert attempt.ask("POST", "/xcoms/no/no/no/key", json=1).status_code == 404


def test_mapped_xcoms_are_counted_cut_and_picked(server: Live) -> None:
    attempt = server.attempt({"task_id": "rows"}, {"task_id": "each", "upstreams": ["rows"], "map_over": "rows"})
    assert attempt.ask("POST", attempt.xcom(), json=[1, 2, 3], params={"mapped_length": 3}).status_code == 201
    attempt.end("success")
    mapped = server.claim(attempt.ti["dag_id"])
    assert [each.ti["map_index"] for each in mapped] == [0, 1, 2]
    for each in mapped:
        each.run()
        index = each.ti["map_index"]
        each.ask("POST", each.xcom("k/1"), json=f"v{index}", params={"map_index": index})
    one, where = mapped[0], mapped[0].xcom("k/1")
    assert one.ask("HEAD", where).headers["content-range"] == "map_indexes 3"
    assert one.ask("HEAD", where, params={"map_index": 0}).status_code == 400
    assert [one.ask("GET", f"{where}/item/{n}").json() for n in (0, -1)] == ["v0", "v2"]
    assert one.ask("GET", f"{where}/item/3").status_code == 404
    assert one.ask("GET", f"{where}/slice").json() == ["v0", "v1", "v2"]
    assert one.ask("GET", f"{where}/slice", params={"start": -2, "step": 1}).json() == ["v1", "v2"]
    assert one.ask("GET", f"{where}/slice", params={"step": -1}).json() == ["v2", "v1", "v0"]
    assert one.ask("GET", f"{where}/slice", params={"step": 0}).status_code == 400
    assert one.ask("GET", where, params={"map_index": 1}).json()["value"] == "v1"
    assert one.ask("GET", where, params={"offset": -1}).json()["value"] == "v2"
    assert one.ask("GET", where, params={"offset": 5}).status_code == 404
    assert one.ask("GET", where).status_code == 404


def test_variables(attempt: Attempt) -> None:
    for name in ("v1", "v2", "v3"):
        assert attempt.ask("PUT", f"/variables/{name}", json={"val": name, "description": "d"}).status_code == 201
    assert attempt.ask("PUT", "/variables/v1", json={"val": None}).status_code == 201
    assert attempt.ask("GET", "/variables/v1").json() == {"key": "v1", "value": None}
    page = attempt.ask("GET", "/variables/keys", params={"prefix": "v", "limit": 2, "offset": 1}).json()
    assert page == {"keys": ["v2", "v3"], "total_entries": 3}
    assert attempt.ask("DELETE", "/variables/absent").status_code == 204
    absent = attempt.ask("GET", "/variables/absent")
    assert (absent.status_code, absent.json()["detail"]["reason"]) == (404, "not_found")


def test_connections(server: Live, attempt: Attempt) -> None:
    body = {"conn_type": "http", "host": "h", "login": "l", "password": "p", "port": 8080, "extra": "{}", "schema": "s"}
    assert server.people("PUT", "/connections/db%2Fone", json=body).status_code == 204
    assert attempt.ask("GET", "/connections/db/one").json() == {"conn_id": "db/one"} | body
    assert "db/one" in server.people("GET", "/connections").json()
    assert server.people("DELETE", "/connections/db/one").status_code == 204
    assert attempt.ask("GET", "/connections/db/one").json()["detail"]["reason"] == "not_found"


def test_the_store_of_a_task_outlives_its_attempts(server: Live) -> None:
    first = server.attempt({"task_id": "t", "retries": 1, "retry_delay_s": 0})
    where = f"/store/ti/{first.id}"
    assert first.ask("PUT", f"{where}/cursor", json={"value": {"at": 3}}).status_code == 204
    assert first.ask("PUT", f"{where}/old", json={"value": 1, "expires_at": WHEN}).status_code == 204
    assert first.ask("GET", f"{where}/old").status_code == 404
    assert first.ask("PUT", f"{where}/null", json={"value": None}).status_code == 422
    first.end("up_for_retry")
    second = server.claim(first.ti["dag_id"])[0]
    second.run()
    where = f"/store/ti/{second.id}"
    assert second.ask("GET", f"{where}/cursor").json() == {"value": {"at": 3}}
    assert first.ask("PUT", f"/store/ti/{first.id}/cursor", json={"value": 0}).status_code == 404
    assert second.ask("DELETE", where).status_code == 204
    assert second.ask("GET", f"{where}/cursor").status_code == 404


def test_assets_their_events_and_their_store(server: Live) -> None:
    attempt = server.attempt()
    outlets = [{"type": "Asset", "name": "as/set", "uri": "s3://b/k?x=1"}]
    told = [{"dest_asset_key": {"name": "as/set", "uri": "s3://b/k?x=1"}, "extra": {"rows": 3}}]
    assert attempt.end("success", end_date=WHEN, task_outlets=outlets, outlet_events=told).status_code == 204
    reader = server.attempt()
    named, located = {"name": "as/set"}, {"uri": "s3://b/k?x=1"}
    assert reader.ask("GET", "/assets/by-name", params=named).json() == named | located | {"group": "asset"}
    assert reader.ask("GET", "/assets/by-uri", params=located).json()["name"] == "as/set"
    assert reader.ask("GET", "/assets/by-uri", params={"uri": "x"}).status_code == 404
    assert reader.ask("GET", "/assets/by-alias", params={"alias_name": "none"}).json() == []
    events = reader.ask("GET", "/asset-events/by-asset", params=named | {"uri": ""}).json()["asset_events"]
    assert [event["extra"] for event in events] == [{"rows": 3}]
    assert (events[0]["source_task_id"], events[0]["created_dagruns"]) == ("t", [])
    assert reader.ask("GET", "/asset-events/by-asset", params={"name": "", "uri": ""}).status_code == 400
    none = reader.ask("GET", "/asset-events/by-asset", params=located | {"after": "2099-01-01T00:00:00Z"})
    assert none.json() == {"asset_events": []}
    for kind, which in (("by-name", named), ("by-uri", located)):
        where = f"/store/asset/{kind}"
        keyed = which | {"key": "k/1"}
        assert reader.ask("PUT", f"{where}/value", params=keyed, json={"value": [kind]}).status_code == 204
        assert reader.ask("GET", f"{where}/value", params=keyed).json() == {"value": [kind]}
        assert reader.ask("DELETE", f"{where}/value", params=keyed).status_code == 204
        assert reader.ask("GET", f"{where}/value", params=keyed).status_code == 404
        assert reader.ask("DELETE", f"{where}/clear", params=which).status_code == 204
    assert reader.ask("GET", "/store/asset/by-name/value", params={"name": "no", "key": "k"}).status_code == 404
    assert reader.ask("DELETE", "/store/asset/by-uri/clear", params={"uri": "no"}).status_code == 404
    assert reader.ask("GET", "/asset-events/by-asset-alias", params={"name": "no"}).json() == {"asset_events": []}


def test_a_question_to_people(server: Live) -> None:
    attempt = server.attempt()
    where = f"/hitlDetails/{attempt.id}"
    assert attempt.ask("GET", where).status_code == 404
    question = {"ti_id": attempt.id, "options": ["yes", "no"], "subject": "Deploy?", "defaults": ["no"]}
    asked = attempt.ask("POST", where, json=question)
    assert (asked.status_code, asked.json()) == (201, question)
    assert attempt.ask("GET", where).json()["response_received"] is False
    answer = {"ti_id": attempt.id, "chosen_options": ["yes"], "params_input": {"a": 1}}
    assert attempt.ask("PATCH", where, json=answer).json()["chosen_options"] == ["yes"]
    assert attempt.ask("GET", where).json()["params_input"] == {"a": 1}
    again = attempt.ask("PATCH", where, json=answer)
    assert (again.status_code, type(again.json()["detail"])) == (409, str)
    assert attempt.ask("POST", where, json=question | {"options": []}).status_code == 422
    assert (
        attempt.ask("POST", where, json=question | {"ti_id": "01890000-0000-7000-8000-000000000000"}).status_code == 422
    )


def test_checkpoints(server: Live) -> None:
    attempt = server.attempt()
    assert attempt.own("GET", "checkpoint").json()["checkpoint"] is None
    saved = attempt.own("PUT", "checkpoint", json={"data": {"step": 1}, "progress": 1})
    assert (saved.status_code, saved.json()["seq"], saved.json()["stopping"]) == (200, 1, False)
    assert attempt.own("PUT", "checkpoint", json={"data": {"step": 2}, "progress": 2}).json()["seq"] == 2
    assert server.people("POST", f"/task-instances/{attempt.id}/stop", json={"reason": "drain"}).status_code == 204
    beat = attempt.own("PUT", "heartbeat", json={"hostname": "h", "pid": 1})
    assert (beat.status_code, beat.headers["taskhand-stop"]) == (204, "drain")
    assert attempt.own("PUT", "checkpoint", json={"data": {"step": 3}, "progress": 3}).json()["stopping"] is True
    assert attempt.end("checkpointed", end_date=WHEN, reason="drain").status_code == 204
    resumed = server.claim(attempt.ti["dag_id"])[0]
    assert (resumed.id != attempt.id, resumed.ti["try_number"]) == (True, 1)
    resumed.run()
    assert resumed.own("GET", "checkpoint").json()["checkpoint"]["data"] == {"step": 3}
    assert attempt.own("PUT", "checkpoint", json={"data": 0}).status_code in {404, 410}
