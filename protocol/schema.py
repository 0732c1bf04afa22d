"""`schema.json`: the wire for those who do not read Python.

JSON Schema 2020-12, generated from the messages: their docstrings are the descriptions, their defaults the defaults. It
says what is on the wire, so moments and durations have definitions of their own that tell the forms msgpack gives them.
Beside the definitions stand the conversations, and which reply answers which question.
"""

from typing import Any

import msgspec

from protocol.messages.shape import Message
from protocol.messages.startup import TaskArgBinding
from protocol.versions import HEAD, VERSIONS
from protocol.vocabulary import ANSWERS, CHANGES, OURS, PARSING, TASK, TERMINAL, TRIGGERER, Vocabulary

Node = dict[str, Any]
REF = "#/$defs/{name}"

_MOMENT: Node = {"type": "string", "format": "date-time"}
_DURATION: list[Node] = [{"type": "string", "format": "duration"}, {"type": "number"}]

_VALUES: dict[str, Node] = {
    "Timestamp": {
        "description": "A moment. On the wire a msgpack timestamp (extension type -1 in 4, 8 or 12 bytes), in UTC; an "
        "RFC 3339 string is taken too, and a moment without a time zone is always a string.",
        "x-msgpack": "timestamp",
        **_MOMENT,
    },
    "Duration": {
        "description": "A length of time. An ISO 8601 duration such as PT300S is written; seconds are taken too.",
        "anyOf": _DURATION,
    },
    "JsonValue": {
        "description": "Any value. msgpack's own types (timestamps, bytes) may be inside and are kept.",
        "type": ["object", "array", "string", "number", "boolean", "null"],
    },
    "ArgValueSchema": {
        "description": "A JSON Schema that an argument's value should fit.",
        "type": "object",
        "additionalProperties": {"$ref": REF.format(name="JsonValue")},
    },
    "TaskArgBinding": {"description": "How a task's argument gets its value, told by its `kind`."},
    "QuestionFrame": {
        "description": "A payload from a child: its own id, a message, its W3C trace headers, and for a trigger runner "
        "the task instance it asks for. Two elements are enough; more than four are ignored.",
        "type": "array",
        "prefixItems": [
            {"type": "integer", "minimum": 0},
            {"type": "object"},
            {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
            {"type": ["string", "null"], "format": "uuid"},
        ],
        "minItems": 2,
    },
    "ReplyFrame": {
        "description": "A payload from a supervisor: the question's id, the reply or nil, an ErrorResponse or nil. "
        "Both nil is an acknowledgement. The greeting is one too, unasked, with id 0.",
        "type": "array",
        "prefixItems": [
            {"type": "integer", "minimum": 0},
            {"type": ["object", "null"]},
            {"anyOf": [{"$ref": REF.format(name="ErrorResponse")}, {"type": "null"}]},
        ],
        "minItems": 1,
    },
}


def schema() -> Node:
    """Give the whole document."""
    messages = sorted({*_spoken(TASK), *_spoken(TRIGGERER), *PARSING}, key=lambda message: message.__name__)
    (binding, *_), definitions = msgspec.json.schema_components([TaskArgBinding, *messages], ref_template=REF)
    named = _VALUES | {"TaskArgBinding": _VALUES["TaskArgBinding"] | binding}
    known = {message.__name__ for message in messages}
    tidied = {name: _tidy(node, binding, name if name in known else None) for name, node in definitions.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "api_version": HEAD,
        "description": "What Taskhand's supervisor and its children say to each other: a frame is four bytes of "
        "length, big-endian, then that many bytes of msgpack, of a QuestionFrame or a ReplyFrame.",
        "versions": list(VERSIONS),
        "changes": _changes(),
        "conversations": {"task": _conversation(TASK), "triggerer": _conversation(TRIGGERER)},
        "answers": {
            question.__name__: {
                "reply": answer.reply.__name__ if issubclass(answer.reply, Message) else None,
                "instead": list(answer.instead),
            }
            for question, answer in sorted(ANSWERS.items(), key=lambda row: row[0].__name__)
        },
        "$defs": dict(sorted((tidied | named).items())),
    }


def render() -> str:
    """Give the document as the file has it."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


def _spoken(vocabulary: Vocabulary) -> set[type[Message]]:
    return {vocabulary.greeting, *vocabulary.questions, *vocabulary.replies}


def _conversation(vocabulary: Vocabulary) -> Node:
    return {
        "greeting": vocabulary.greeting.__name__,
        "questions": sorted(message.__name__ for message in vocabulary.questions),
        "terminal": sorted(message.__name__ for message in vocabulary.questions & TERMINAL),
        "taskhand_only": sorted(message.__name__ for message in vocabulary.questions & OURS),
    }


def _changes() -> Node:
    """Say for each version after the oldest which messages it brought and which it changed."""
    return {
        version: {
            "introduced": sorted(c.message.__name__ for c in CHANGES if c.since == version and c.down is None),
            "changed": sorted(c.message.__name__ for c in CHANGES if c.since == version and c.down is not None),
        }
        for version in VERSIONS[1:]
    }


def _tidy(node: Any, binding: Node, message: str | None = None) -> Any:  # noqa: ANN401 - a schema is any JSON
    """Name what the generator repeats, and give a message's `type` the one value it has."""
    if isinstance(node, list):
        return [_tidy(item, binding) for item in node]
    if not isinstance(node, dict):
        return node
    if node.items() >= _MOMENT.items():
        return {"$ref": REF.format(name="Timestamp")}
    if node.get("anyOf") == binding["anyOf"]:
        return {"$ref": REF.format(name="TaskArgBinding")}
    if (node.get("anyOf") or [])[:2] == _DURATION:
        node = node | {"anyOf": [{"$ref": REF.format(name="Duration")}, *node["anyOf"][2:]]}
    if message is not None:
        node = node | {"properties": node["properties"] | {"type": {"const": message, "default": message}}}
    return {key: _tidy(value, binding) for key, value in node.items()}
