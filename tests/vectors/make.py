"""Makes the vectors: a frame for every message, in both directions, at both versions, and frames nobody may send.

One JSON object a line. `hex` is the whole frame, prefix included; `json` is its payload for reading, with moments as
RFC 3339 strings. A valid frame decodes to `json`; an invalid one has a `fault`, by the name it has in
`protocol/errors.py`, and an `id` when the frame has one under which it must be refused.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from protocol.codec import outgoing
from protocol.frames import encode_frame, frame
from protocol.messages.shape import Message
from protocol.session import GREETING_ID
from protocol.versions import HEAD, VERSIONS, exists
from protocol.vocabulary import TASK, TRIGGERER, Vocabulary
from tests.protocol.samples import GREETING, bare, full

CARRIER = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
pack = msgspec.msgpack.encode


def _line(name: str, stream: bytes, **more: object) -> str:
    return msgspec.json.encode({"name": name, "hex": stream.hex(), **more}).decode() + "\n"


def _valid(name: str, elements: list[Any]) -> str:
    return _line(name, encode_frame(elements), json=elements)


def _samples(messages: frozenset[type[Message]], version: str) -> Iterator[tuple[str, Any]]:
    for message in sorted(messages, key=lambda each: each.__name__):
        if exists(message.__name__, version):
            yield f"{message.__name__} with everything", outgoing(full(message), version)
            yield f"{message.__name__} with no more than it needs", outgoing(bare(message), version)


def questions(vocabulary: Vocabulary, version: str) -> str:
    """Every question, with and without trace headers."""
    samples = _samples(vocabulary.questions, version)
    return "".join(
        _valid(name, [number, body, (None, CARRIER)[number % 2]]) for number, (name, body) in enumerate(samples)
    )


def replies(vocabulary: Vocabulary, version: str) -> str:
    """The greeting, every reply, an acknowledgement, and an error in the slot for errors."""
    greeting = GREETING if vocabulary is TASK else full(vocabulary.greeting)
    lines = [
        _valid("greeting", [GREETING_ID, outgoing(greeting, version), None]),
        _valid("acknowledgement", [5, None, None]),
    ]
    error = {"type": "ErrorResponse", "error": "API_SERVER_ERROR", "detail": {"status_code": 503, "message": "away"}}
    lines.append(_valid("error", [6, None, error]))
    samples = enumerate(_samples(vocabulary.replies, version), start=7)
    return "".join([*lines, *(_valid(name, [number, body, None]) for number, (name, body) in samples)])


def invalid() -> str:
    """Questions that break the conversation (without an id), and questions that must be refused (with one)."""
    ask = {"type": "GetVariable", "key": "k"}
    lines = [
        _line("a length of nothing", b"\0\0\0\0", fault="ZeroLengthFrame"),
        _line("a length of 4 GiB", b"\xff\xff\xff\xff", fault="FrameTooLong"),
        _line("an end inside the prefix", b"\0\0", fault="TruncatedFrame"),
        _line("an end inside the payload", encode_frame([1, ask])[:-3], fault="TruncatedFrame"),
        _line("a byte msgpack never uses", frame(b"\xc1"), fault="NotMsgpack"),
        _line("two values in one frame", frame(pack([1, ask]) + b"\xc0"), fault="NotMsgpack"),
        _line("a payload shorter than it says inside", frame(pack([1, ask])[:-2]), fault="NotMsgpack"),
        _line("nesting without end", frame(b"\x91" * 10_000), fault="NotMsgpack"),
        _line("a map instead of an array", encode_frame({"id": 1, "body": ask}), fault="NotAnArray"),
        _line("a number instead of an array", encode_frame(5), fault="NotAnArray"),
        _line("an array of nothing", encode_frame([]), fault="ShortFrame"),
        _line("an array of one", encode_frame([1]), fault="ShortFrame"),
        _line("an id that is text", encode_frame(["1", ask]), fault="BadId"),
        _line("an id below zero", encode_frame([-1, ask]), fault="BadId"),
        _line("an id that is true", encode_frame([True, ask]), fault="BadId"),
        _line("no body", encode_frame([1, None]), fault="NoBody", id=1),
        _line("a body without a type", encode_frame([1, {"key": "k"}]), fault="UnknownType", id=1),
        _line("a type nobody knows", encode_frame([1, {"type": "Surprise"}]), fault="UnknownType", id=1),
        _line(
            "a reply as a question", encode_frame([1, {"type": "OKResponse", "ok": True}]), fault="UnknownType", id=1
        ),
        _line("a body that is a list", encode_frame([1, ["GetVariable"]]), fault="BadField", id=1),
        _line("a missing field", encode_frame([1, {"type": "GetVariable"}]), fault="BadField", id=1),
        _line("a field of the wrong kind", encode_frame([1, {**ask, "key": 5}]), fault="BadField", id=1),
        _line(
            "text that is not UTF-8",
            frame(b"\x92\x01\x82\xa4type\xabGetVariable\xa3key\xa1\xff"),
            fault="BadField",
            id=1,
        ),
        _line("headers that are no map", encode_frame([1, ask, 5]), fault="BadField", id=1),
        _line("a surplus field", encode_frame([1, {"type": "GetCheckpoint", "more": 1}]), fault="BadField", id=1),
        _line("an end without its time", encode_frame([1, {"type": "SucceedTask"}]), fault="BadField", id=1),
    ]
    return "".join(lines)


FILES: dict[str, Callable[[], str]] = {
    "invalid.jsonl": invalid,
    "triggerer-questions.jsonl": partial(questions, TRIGGERER, HEAD),
    "triggerer-replies.jsonl": partial(replies, TRIGGERER, HEAD),
    **{f"questions-{version}.jsonl": partial(questions, TASK, version) for version in VERSIONS},
    **{f"replies-{version}.jsonl": partial(replies, TASK, version) for version in VERSIONS},
}
