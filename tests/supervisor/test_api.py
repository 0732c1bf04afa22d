"""The client: what is asked again, what is refused, what is understood."""

import asyncio
from collections import deque
from uuid import UUID

import pytest

from protocol.http.instances import TIHeartbeatInfo
from protocol.messages.variables import VariableResult
from supervisor.api import ApiAway, ApiRefused, AttemptApi, Call, Client, Token, error_body, nothing, reader
from supervisor.http1 import Answer
from supervisor.retrying import Fault, RetryPolicy
from supervisor.wire import WireFault

QUICK = RetryPolicy(tries=3, patience_s=0.05, first_s=0.001, longest_s=0.001)
PATIENT = RetryPolicy(tries=3, first_s=0.001, longest_s=0.001)
JSON = {b"content-type": b"application/json"}


def refusing(status: int, reason: str = "no", **more: str) -> Answer:
    body = b'{"detail":{"reason":"%b","message":"m"}}' % reason.encode()
    return Answer(
        status, {**JSON, **{key.replace("_", "-").encode(): value.encode() for key, value in more.items()}}, body
    )


class Script:
    """A wire that answers by a script. The real ones are exercised in test_wire."""

    def __init__(self, *steps: Answer | WireFault) -> None:
        self.steps = deque(steps)
        self.asked: list[tuple[str, str, bytes, bytes | None]] = []
        self.closed = False

    async def exchange(
        self, method: str, target: str, headers: bytes, body: bytes | None = None, timeout_s: float | None = None
    ) -> Answer:
        del timeout_s
        self.asked.append((method, target, headers, body))
        step = self.steps.popleft() if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, WireFault):
            raise step
        return step

    async def close(self) -> None:
        self.closed = True


def call(*steps: Answer | WireFault, policy: RetryPolicy = QUICK) -> tuple[VariableResult, Script]:
    script = Script(*steps)
    client = Client(script, Script(*steps))
    target = Call("GET", "/variables/k", None, policy)
    return asyncio.run(client.call(target, Token("t"), reader(VariableResult))), script


FOUND = Answer(200, JSON, b'{"key":"k","value":"v"}')
LOST = WireFault(Fault.UNANSWERED, "lost")
AWAY = WireFault(Fault.UNSENT, "nobody there")
HTML = Answer(404, {b"content-type": b"text/html"}, b"<html>")


@pytest.mark.parametrize(
    "bad",
    [
        LOST,
        AWAY,
        WireFault(Fault.UNANSWERED, "stale", stale=True),
        HTML,
        Answer(301, {b"location": b"/x"}, b""),
        Answer(200, JSON, b"<html>"),
        Answer(200, JSON, b'{"key":3}'),
        refusing(500),
        refusing(503, retry_after="0"),
        refusing(429, retry_after="0"),
        refusing(408),
        Answer(409, JSON, b"[]"),
    ],
)
def test_what_is_no_word_of_the_server_s_is_asked_again(bad: Answer | WireFault) -> None:
    result, script = call(bad, bad, FOUND, policy=PATIENT)
    assert (result.value, len(script.asked)) == ("v", 3)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_what_the_server_refuses_is_not(status: int) -> None:
    with pytest.raises(ApiRefused) as caught:
        call(refusing(status, "because"))
    assert (caught.value.status, caught.value.why.reason, caught.value.own) == (status, "because", False)


def test_patience_ends() -> None:
    with pytest.raises(ApiAway, match="nobody there"):
        call(AWAY)
    with pytest.raises(ApiAway) as caught:
        call(refusing(500))
    assert caught.value.status == 500


def test_a_conflict_after_a_lost_answer_is_said_to_be_our_own() -> None:
    with pytest.raises(ApiRefused) as caught:
        call(LOST, refusing(409), policy=PATIENT)
    assert caught.value.own
    with pytest.raises(ApiRefused) as caught:
        call(AWAY, refusing(409), policy=PATIENT)
    assert not caught.value.own


def test_it_knows_since_when_nobody_answers() -> None:
    async def scenario() -> list[bool]:
        client = Client(Script(AWAY), Script(FOUND))
        with pytest.raises(ApiAway):
            await client.call(Call("GET", "/", None, QUICK), Token("t"), nothing)
        before = client.away_since is not None
        await client.call(Call("GET", "/", None, QUICK, vital=True), Token("t"), nothing)
        return [before, client.away_since is None]

    assert asyncio.run(scenario()) == [True, True]


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/Problem+JSON"])
def test_an_error_is_understood_in_every_dress(kind: str) -> None:
    body = error_body(Answer(409, {b"content-type": kind.encode()}, b'{"detail":"text"}'))
    assert body is not None
    assert body.detail == "text"


@pytest.mark.parametrize(("kind", "body"), [("text/html", b"{}"), ("application/json", b"{}"), ("", b'{"detail":""}')])
def test_a_page_is_no_error_of_this_api(kind: str, body: bytes) -> None:
    assert error_body(Answer(409, {b"content-type": kind.encode()}, body)) is None


def test_a_token_is_replaced_by_the_one_an_answer_brings() -> None:
    async def scenario() -> list[bytes]:
        script = Script(
            Answer(204, {b"refreshed-api-token": b"fresh"}, b""), Answer(204, {b"refreshed-api-token": b"a b"}, b"")
        )
        api = AttemptApi(Client(script, script), UUID(int=1), "old", QUICK)
        for _ in range(3):
            await api.beat(TIHeartbeatInfo("h", 1))
        return [line for _, _, headers, _ in script.asked for line in headers.split(b"\r\n") if b"Bearer" in line]

    assert asyncio.run(scenario()) == [b"authorization: Bearer " + token for token in (b"old", b"fresh", b"fresh")]


@pytest.mark.parametrize("token", ["", "a b", "a\r\nx: y", "ü", "a\x00"])
def test_a_token_that_could_be_more_is_none(token: str) -> None:
    with pytest.raises(ValueError, match="visible"):
        Token(token)


def test_every_request_says_version_and_a_correlation_of_its_own() -> None:
    async def scenario() -> list[bytes]:
        script = Script(Answer(204, {}, b""))
        api = AttemptApi(Client(script, script), UUID(int=1), "t", QUICK)
        for _ in range(100):
            await api.do("PUT", "/x", {"a": 1})
        return [headers for _, _, headers, _ in script.asked]

    heads = asyncio.run(scenario())
    assert all(b"airflow-api-version: 2026-10-30\r\n" in head for head in heads)
    ids = {head.split(b"correlation-id: ")[1].split(b"\r\n")[0].decode() for head in heads}
    assert len(ids) == 100
    assert {UUID(each).version for each in ids} == {7}


def test_closing_closes_both_ways() -> None:
    asks, vitals = Script(FOUND), Script(FOUND)
    asyncio.run(Client(asks, vitals).close())
    assert asks.closed
    assert vitals.closed
