"""The vectors as any implementation would use them: read a file, read each frame, compare."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from protocol.codec import Unreadable
from protocol.errors import RemoteProtocolError
from protocol.frames import FrameReader, encode_frame
from protocol.session import Asked, Broken, Greeted, RunnerSession, SupervisorSession
from protocol.states import Talk
from protocol.versions import HEAD, OLDEST
from protocol.vocabulary import TASK, TRIGGERER, Vocabulary
from tests.protocol.samples import GREETING, full

HERE = Path(__file__).parent
CONVERSATIONS = {
    "questions-2026-06-16": (TASK, OLDEST),
    "questions-2026-10-30": (TASK, HEAD),
    "triggerer-questions": (TRIGGERER, HEAD),
    "replies-2026-06-16": (TASK, OLDEST),
    "replies-2026-10-30": (TASK, HEAD),
    "triggerer-replies": (TRIGGERER, HEAD),
}


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text().splitlines()]


def supervisor(vocabulary: Vocabulary, version: str) -> SupervisorSession:
    session = SupervisorSession(vocabulary, version)
    session.greet(GREETING if vocabulary is TASK else full(vocabulary.greeting))
    return session


@pytest.mark.parametrize("name", [name for name in CONVERSATIONS if "questions" in name])
def test_every_question_is_heard_as_it_was_asked(name: str) -> None:
    session = supervisor(*CONVERSATIONS[name])
    for line in lines(name):
        (event,) = session.receive(bytes.fromhex(line["hex"]))
        assert isinstance(event, Asked), line["name"]
        number, body, carrier = line["json"]
        assert (event.id, event.carrier) == (number, carrier)
        said = json.loads(msgspec.json.encode(event.message))
        assert body.items() <= said.items(), line["name"]


@pytest.mark.parametrize("name", [name for name in CONVERSATIONS if "replies" in name])
def test_every_reply_is_told_as_it_was_answered(name: str) -> None:
    vocabulary, version = CONVERSATIONS[name]
    session = RunnerSession(vocabulary, version)
    first, *others = lines(name)
    assert isinstance(session.receive(bytes.fromhex(first["hex"]))[0], Greeted)
    session.open.update(line["json"][0] for line in others)
    for line in others:
        (event,) = session.receive(bytes.fromhex(line["hex"]))
        assert not isinstance(event, Broken | Unreadable), line["name"]
    assert (session.open, session.late) == (set(), 0)


@pytest.mark.parametrize("line", lines("invalid"), ids=lambda line: line["name"])
def test_every_invalid_frame_is_the_fault_it_is(line: dict[str, Any]) -> None:
    session = supervisor(TASK, HEAD)
    events = [*session.receive(bytes.fromhex(line["hex"])), *session.receive_end()]
    fault = next(event.fault for event in events if isinstance(event, Broken | Unreadable))
    assert type(fault).__name__ == line["fault"]
    assert isinstance(fault, RemoteProtocolError)
    assert [event.id for event in events if isinstance(event, Unreadable)] == ([line["id"]] if "id" in line else [])
    assert (session.talk is Talk.BROKEN) != ("id" in line)


@pytest.mark.parametrize("conversation", lines("airflow-3.3.2"), ids=lambda conversation: conversation["name"])
def test_what_a_real_airflow_and_a_runtime_said_is_understood(conversation: dict[str, Any]) -> None:
    """Recorded from Airflow 3.3.2's own supervisor, at version 2026-06-16."""
    runner, asked = RunnerSession(version=OLDEST), supervisor(TASK, OLDEST)
    for frame in conversation["frames"]:
        data = bytes.fromhex(frame["hex"])
        if frame["from"] == "runtime":
            (heard,) = asked.receive(data)
            assert isinstance(heard, Unreadable if frame.get("refused") else Asked)
            asked.open.clear()
        else:
            (payload,) = FrameReader().feed(data)
            runner.open.add(msgspec.msgpack.decode(payload)[0])
            (told,) = runner.receive(data)
            assert not isinstance(told, Broken | Unreadable)
            assert frame.get("type", "None") in repr(told)


def test_a_frame_is_its_prefix_and_its_payload() -> None:
    for line in lines("questions-2026-10-30"):
        data = bytes.fromhex(line["hex"])
        assert encode_frame(msgspec.msgpack.decode(data[4:])) == data
