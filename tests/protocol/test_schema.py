import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from protocol.messages.shape import Message
from protocol.schema import render, schema
from protocol.vocabulary import ANSWERS, TASK, TRIGGERER
from tests.protocol.samples import bare, every_message, full

DOCUMENT = json.loads(render())
CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER


def errors(message: str, body: Any) -> list[str]:
    document = {"$ref": f"#/$defs/{message}", "$defs": DOCUMENT["$defs"]}
    validator = jsonschema.Draft202012Validator(document, format_checker=CHECKER)
    return [error.message for error in validator.iter_errors(body)]


def test_the_document_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(DOCUMENT)
    assert schema() == DOCUMENT


@pytest.mark.parametrize("message", every_message(), ids=lambda message: message.__name__)
def test_every_message_fits_its_definition(message: type[Message]) -> None:
    for sample in (full(message), bare(message)):
        assert errors(message.__name__, json.loads(msgspec.json.encode(sample))) == []


@pytest.mark.parametrize("message", every_message(), ids=lambda message: message.__name__)
def test_every_definition_refuses_what_is_no_message(message: type[Message]) -> None:
    assert errors(message.__name__, {"type": "Another"})
    assert DOCUMENT["$defs"][message.__name__]["description"]


def test_the_vectors_fit_the_frames() -> None:
    for file in sorted(Path("tests/vectors").glob("[!a]*-*.jsonl")):
        for line in file.read_text().splitlines():
            frame = "QuestionFrame" if "questions" in file.name else "ReplyFrame"
            assert errors(frame, json.loads(line)["json"]) == [], line


def test_moments_say_what_they_are_on_the_wire() -> None:
    assert DOCUMENT["$defs"]["SucceedTask"]["properties"]["end_date"] == {"$ref": "#/$defs/Timestamp"}
    # Whether a moment must have a time zone or not, it is the same on the wire.
    assert DOCUMENT["$defs"]["StartupDetails"]["properties"]["start_date"] == {"$ref": "#/$defs/Timestamp"}
    assert DOCUMENT["$defs"]["Timestamp"]["x-msgpack"] == "timestamp"
    assert DOCUMENT["$defs"]["DeferTask"]["properties"]["trigger_timeout"]["anyOf"][0] == {"$ref": "#/$defs/Duration"}


def test_every_question_has_its_answer_in_the_table() -> None:
    assert set(DOCUMENT["answers"]) == {question.__name__ for question in ANSWERS}
    assert DOCUMENT["answers"]["GetVariable"] == {
        "reply": "VariableResult",
        "instead": ["VARIABLE_NOT_FOUND", "PERMISSION_DENIED"],
    }
    assert DOCUMENT["answers"]["SucceedTask"] == {"reply": None, "instead": []}


def test_the_conversations() -> None:
    task, triggerer = DOCUMENT["conversations"]["task"], DOCUMENT["conversations"]["triggerer"]
    assert task["questions"] == sorted(question.__name__ for question in TASK.questions)
    assert triggerer["questions"] == sorted(question.__name__ for question in TRIGGERER.questions)
    assert "SucceedTask" in task["terminal"]
    assert "SaveCheckpoint" in task["taskhand_only"]
    assert triggerer["terminal"] == []


def test_versions_and_what_each_brought() -> None:
    assert DOCUMENT["api_version"] == DOCUMENT["versions"][-1]
    assert DOCUMENT["changes"]["2026-10-30"]["introduced"] == ["SetExecutionTimeout", "UpdateDagRunNote"]
    assert "GetXCom" in DOCUMENT["changes"]["2026-10-30"]["changed"]


def test_the_kinds_of_argument_are_named() -> None:
    items = DOCUMENT["$defs"]["TIRunContext"]["properties"]["arg_bindings"]["anyOf"][0]["items"]
    assert items == {"$ref": "#/$defs/TaskArgBinding"}
