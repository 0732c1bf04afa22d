"""Whole conversations over a real socket: each of our ends with their real other end."""

import os

import pytest

from protocol.messages.control import ErrorResponse, ErrorType, OKResponse, ResendLoggingFD, SentFDs
from protocol.messages.runs import GetDag
from protocol.messages.startup import StartupDetails
from protocol.messages.triggers import StartTriggerer, TriggerStateChanges, TriggerStateSync
from protocol.messages.variables import GetConnection, GetVariable, MaskSecret, VariableResult
from protocol.messages.xcoms import XComResult
from protocol.session import Answered, Ended, Failed, Greeted, RunnerSession, SupervisorSession
from protocol.vocabulary import TRIGGERER
from tests.interop.lines import OurRunner, OurSupervisor, met
from tests.interop.ours import unlike
from tests.interop.peers import Peer
from tests.protocol.samples import GREETING, full

pytestmark = [pytest.mark.interop, pytest.mark.slow]


def test_our_runner_and_their_supervisor(peer: Peer, address: str) -> None:
    with met(peer, address, "supervise", greet=True) as channel:
        runner = OurRunner(RunnerSession(version=peer.wire), channel)
        greeted = runner.told()
        assert isinstance(greeted, Greeted)
        assert isinstance(greeted.message, StartupDetails)
        assert not list(unlike(greeted.message, peer.hear()))

        # Two at once: their supervisor reads and answers strictly in turn.
        first, one = runner.session.ask(
            GetVariable("a"), carrier={"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}
        )
        second, two = runner.session.ask(MaskSecret("secret"))
        channel.sendall(one + two)
        assert peer.do("serve")["requests"] == ["GET /variables/a"]
        answer = runner.told()
        assert isinstance(answer, Answered)
        assert (answer.id, type(answer.reply)) == (first, VariableResult)
        assert peer.do("serve")["requests"] == []
        assert runner.told() == Answered(second, None)

        absent, frame = runner.session.ask(GetConnection("none"))
        channel.sendall(frame)
        peer.do("serve", status=404)
        error = ErrorResponse(ErrorType.CONNECTION_NOT_FOUND, {"conn_id": "none"})
        assert runner.told() == Answered(absent, error)

        broken, frame = runner.session.ask(GetDag("flow"))
        channel.sendall(frame)
        peer.do("serve", status=500)
        failed = runner.told()
        assert isinstance(failed, Failed)
        assert (failed.id, failed.error.error) == (broken, ErrorType.API_SERVER_ERROR)
        assert (failed.error.detail or {}).get("status_code", 500) in (500, None)

        peer.do("end")
        assert channel.recv(1) == b""
        assert runner.session.receive_end() == [Ended()]
        assert (runner.session.open, runner.session.late) == (set(), 0)


def test_our_supervisor_and_their_runner(peer: Peer, address: str) -> None:
    session = SupervisorSession(version=peer.wire)
    with met(peer, address, "run") as channel:
        supervisor = OurSupervisor(session, channel)
        channel.sendall(session.greet(GREETING))
        assert not list(unlike(GREETING, peer.hear()))

        # Their ids begin at 0, which was the greeting's too.
        for number, (name, reply) in enumerate(
            [
                ("GetVariable", VariableResult("a", "b")),
                ("GetXCom", XComResult("key", {"value": [1, None]})),
                ("DeleteVariable", OKResponse(ok=True)),
                ("SetXCom", None),
                ("GetVariable", ErrorResponse(ErrorType.VARIABLE_NOT_FOUND, {"key": "a"})),
            ]
        ):
            peer.tell("ask", type=name)
            (asked,) = supervisor.heard()
            assert (asked.id, type(asked.message).__name__) == (number, name)
            supervisor.answer(asked.id, reply)
            came = peer.hear()
            assert not list(unlike(asked.message, came["asked"]))
            assert came["type"] == (None if reply is None else type(reply).__name__)
            assert not list(unlike(reply, came["reply"]))

        peer.tell("ask", type="GetDag")
        (asked,) = supervisor.heard()
        error = ErrorResponse(ErrorType.API_SERVER_ERROR, {"status_code": 503, "message": "away", "detail": None})
        supervisor.answer(asked.id, error)
        assert not list(unlike(error, peer.hear()["raised"]))

        peer.do("end")
        assert channel.recv(1) == b""
        assert session.receive_end() == [Ended()]
        assert session.open == {}


def test_a_log_channel_rides_on_its_answer(peer: Peer, address: str) -> None:
    with met(peer, address, "supervise") as channel:
        peer.hear()
        runner = OurRunner(RunnerSession(version=peer.wire), channel)
        runner.session.receive(SupervisorSession(version=peer.wire).greet(GREETING))
        number, frame = runner.session.ask(ResendLoggingFD())
        channel.sendall(frame)
        peer.do("serve")
        told = runner.told()
        assert isinstance(told, Answered)
        assert (told.id, type(told.reply)) == (number, SentFDs)
        (descriptor,) = runner.descriptors
        assert os.write(descriptor, b'{"event": "here", "level": "info"}\n') > 0
        os.close(descriptor)
        peer.do("end")


def test_our_trigger_runner_and_their_supervisor(peer: Peer, address: str) -> None:
    with met(peer, address, "supervise", triggers=True, greet=True) as channel:
        runner = OurRunner(RunnerSession(TRIGGERER, peer.wire), channel)
        assert runner.told() == Greeted(StartTriggerer())
        peer.hear()
        number, frame = runner.session.ask(TriggerStateChanges(finished=[7]))
        channel.sendall(frame)
        peer.do("serve")
        assert runner.told() == Answered(number, TriggerStateSync([], set()))
        peer.do("end")


def test_our_supervisor_and_their_trigger_runner_with_all_questions_open_at_once(peer: Peer, address: str) -> None:
    session = SupervisorSession(TRIGGERER, peer.wire)
    types = ["TriggerStateChanges", "GetVariable", "MaskSecret", "GetConnection", "GetDRCount"]
    sync = full(TriggerStateSync)
    replies = {
        "TriggerStateChanges": sync,
        "GetVariable": VariableResult("a", None),
        "MaskSecret": None,
        "GetConnection": ErrorResponse(ErrorType.CONNECTION_NOT_FOUND),
        "GetDRCount": ErrorResponse(ErrorType.API_SERVER_ERROR),
    }
    with met(peer, address, "trigger", types=types) as channel:
        supervisor = OurSupervisor(session, channel)
        channel.sendall(session.greet(StartTriggerer()))
        asked = supervisor.heard(len(types))
        assert [each.id for each in asked] == list(range(len(types)))
        for each in reversed(asked):
            supervisor.answer(each.id, replies[type(each.message).__name__])
        came = peer.hear()["replies"]
    assert [each["type"] for each in came[:4]] == ["TriggerStateSync", "VariableResult", None, "ErrorResponse"]
    assert came[4]["raised"]["error"] == "API_SERVER_ERROR"
    assert [trigger["id"] for trigger in came[0]["reply"]["to_create"]] == [each.id for each in sync.to_create]
