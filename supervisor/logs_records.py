"""What a line of a task's becomes in the attempt's log. Core.

Every line is a JSON object which begins with `timestamp`, `level`, `source` and `event`. Nothing a task can print is
able to hurt: what is not UTF-8 is escaped, and what comes over the log channel and is not an object of the form we know
(CONTRACT 1.8) is kept as what it is, text.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from supervisor.logs_masking import Masker

LEVELS = {
    "debug": "debug", "info": "info", "warning": "warning", "warn": "warning", "error": "error",
    "exception": "error", "critical": "critical", "fatal": "critical",
}  # fmt: skip
OURS = ("timestamp", "level", "source", "event")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Source(StrEnum):
    """Where a line comes from."""

    STDOUT = "stdout"
    STDERR = "stderr"
    LOG = "log"
    """The log channel: what the task logged, as opposed to printed."""
    SUPERVISOR = "supervisor"


class Manner(NamedTuple):
    """How lines are put down: when, without which secrets, and how much of each."""

    timestamp: str
    masker: Masker
    limit: int


PRINTED_LEVEL = {Source.STDOUT: "info", Source.STDERR: "error", Source.LOG: "error"}


def printed(source: Source, whole: bytes, manner: Manner) -> bytes:
    """Give the records of printed lines, many at a time: this is the path that a flood takes."""
    timestamp, masker, limit = manner
    text = masker.mask(whole.decode("utf-8", "backslashreplace"))
    lines = text.split("\n")
    if "\r" in text:
        lines = [line.removesuffix("\r") for line in lines]
    if len(text) > limit and max(map(len, lines)) > limit:
        return b"".join(_line(source, line, timestamp, limit) for line in lines)
    head = _head(source, timestamp)
    return head + (b"}\n" + head).join(map(_encode, lines)) + b"}\n"


def cut(source: Source, start: bytes, gone: int, manner: Manner) -> bytes:
    """Give the record of a line that was too long: its beginning, and how much is missing."""
    timestamp, masker, limit = manner
    text = masker.mask(start.decode("utf-8", "backslashreplace"))
    missing = gone + max(0, len(text) - limit)
    return _head(source, timestamp) + _encode(text[:limit]) + b',"cut_bytes":%d}\n' % missing


def logged(line: bytes, manner: Manner) -> bytes:
    """Give the record of one line of the log channel."""
    timestamp, masker, _ = manner
    try:
        told = _decode(line)
        if not isinstance(told, dict):
            return printed(Source.LOG, line, manner)
        record = _encode(_ordered(told, timestamp))
        if masker.mask(text := record.decode()) != text:
            record = _encode(masker.mask_value(_ordered(told, timestamp)))
    except (ValueError, RecursionError, OverflowError, msgspec.MsgspecError):
        return printed(Source.LOG, line, manner)
    return record + b"\n"


def said(level: str, event: str, fields: dict[str, object], timestamp: str, masker: Masker) -> bytes:
    """Give the record of something the supervisor itself says."""
    record = {"timestamp": timestamp, "level": level, "source": Source.SUPERVISOR, "event": event, **fields}
    return _encode(masker.mask_value(msgspec.to_builtins(record))) + b"\n"


def stamp(now: datetime) -> str:
    """Write a moment as the records have it."""
    return now.isoformat(timespec="microseconds").replace("+00:00", "Z")


def split(whole: bytes) -> Sequence[bytes]:
    """Give the single lines of what a splitter gave, without the empty ones: on the log channel they say nothing."""
    return [line for line in whole.split(b"\n") if line.strip()]


def _line(source: Source, line: str, timestamp: str, limit: int) -> bytes:
    head = _head(source, timestamp) + _encode(line[:limit])
    return head + (b',"cut_bytes":%d}\n' % (len(line) - limit) if len(line) > limit else b"}\n")


def _head(source: Source, timestamp: str) -> bytes:
    level = PRINTED_LEVEL[source]
    return b'{"timestamp":"%s","level":"%s","source":"%s","event":' % (
        timestamp.encode(),
        level.encode(),
        source.encode(),
    )


def _ordered(told: dict[str, object], timestamp: str) -> dict[str, object]:
    """Put our four keys first, valid; what the task had in their place stays under another name."""
    extra = {key if key != "source" else "task_source": value for key, value in told.items() if key not in OURS[:2]}
    event = extra.pop("event", "")
    when, level = told.get("timestamp"), told.get("level")
    record: dict[str, object] = {"timestamp": timestamp, "level": "info", "source": Source.LOG, "event": event}
    if _is_moment(when):
        record["timestamp"] = when
    elif when is not None:
        extra["invalid_timestamp"] = when
    known = LEVELS.get(level.lower()) if isinstance(level, str) else None
    if known is not None:
        record["level"] = known
    elif level is not None:
        extra["invalid_level"] = level
    return record | extra


def _is_moment(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
