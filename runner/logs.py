"""The log channel: one JSON object per line, in the form that Airflow's supervisor reads too.

A log line never fails the task: what JSON has no form for is shown as text, and a closed channel is ignored. A line
that was interrupted half-way is ended by the next one, so that only one is lost.
"""

import logging
import os
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from runner.tracebacks import entries_of, text_of

_RESERVED = frozenset({"timestamp", "level", "event", "logger", "exception", "filename", "lineno", "msg", "target"})
"""Keys that the channel gives a meaning; two of them, `msg` and `target`, bring Airflow's supervisor down."""


def _shown(value: object) -> str:
    try:
        return text_of(repr(value))
    except Exception:  # noqa: BLE001 - the task's own __repr__ may do anything
        return f"<{type(value).__qualname__}, which cannot be shown>"


_encoder = msgspec.json.Encoder(enc_hook=_shown)


def line_of(entry: Mapping[str, Any]) -> bytes:
    """Give an entry as a line."""
    try:
        return _encoder.encode(entry) + b"\n"
    except Exception:  # noqa: BLE001 - half a dozen of msgspec's, and whatever the task's own objects raise
        plain = {
            text_of(key): text_of(value) if isinstance(value, str) else _shown(value) for key, value in entry.items()
        }
        return _encoder.encode(plain) + b"\n"


class Channel:
    """Writes whole lines, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._lock = threading.RLock()
        self._torn = False

    def write(self, line: bytes) -> None:
        """Write a line. A long one goes out in pieces, so the lock keeps others out of its middle."""
        with self._lock:
            rest = memoryview(b"\n" + line if self._torn else line)
            self._torn = True
            try:
                while rest:
                    rest = rest[os.write(self.descriptor, rest) :]
            except OSError:
                return  # nobody reads any more; what that means for the task is the frame channel's to say
            self._torn = False


class Log:
    """`ctx.log`: an event, and by name what belongs to it."""

    def __init__(self, channel: Channel, name: str = "task", fields: Mapping[str, Any] | None = None) -> None:
        self._channel = channel
        self._name = name
        self._fields = dict(fields or {})

    def bind(self, **fields: Any) -> "Log":  # noqa: ANN401 - whatever the task wants to be seen
        """Give a log whose entries all have these fields."""
        return Log(self._channel, self._name, self._fields | fields)

    def write(self, level: str, event: str, fields: Mapping[str, Any], error: BaseException | None = None) -> None:
        """Write an entry."""
        entry: dict[str, Any] = {"timestamp": datetime.now(UTC), "level": level, "event": event, "logger": self._name}
        for key, value in (self._fields | {**fields}).items():
            entry[f"{key}_" if key in _RESERVED else key] = value
        if error is not None:
            entry["exception"] = entries_of(error)
        self._channel.write(line_of(entry))

    def debug(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - as bind
        """Say something for whoever debugs."""
        self.write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - as bind
        """Say what happens."""
        self.write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - as bind
        """Say what may become a problem."""
        self.write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - as bind
        """Say what went wrong."""
        self.write("error", event, fields)

    def critical(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - as bind
        """Say what went so wrong that little else matters."""
        self.write("critical", event, fields)

    def exception(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - as bind
        """Say what went wrong, with the exception that is being handled."""
        self.write("error", event, fields, sys.exc_info()[1])


_LEVELS = (
    (logging.CRITICAL, "critical"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
)


class LogHandler(logging.Handler):
    """Takes what is logged with the standard library's `logging` to a channel."""

    channel: Channel | None = None

    def take_over(self, channel: Channel, level: int = logging.INFO) -> None:
        """Be where `logging` goes, instead of wherever a module that was imported before sent it."""
        self.channel = channel
        logging.root.handlers[:] = [self]
        logging.root.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. Its arguments may not fit its message: then both are shown."""
        try:
            event = record.getMessage()
        except Exception:  # noqa: BLE001 - as logging itself does, and with more to see
            event = f"{record.msg!r} with {record.args!r}"
        entry: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC),
            "level": next((name for number, name in _LEVELS if record.levelno >= number), "debug"),
            "event": event,
            "logger": record.name,
            "filename": record.pathname,
            "lineno": record.lineno,
        }
        if record.exc_info and record.exc_info[1] is not None:
            entry["exception"] = entries_of(record.exc_info[1])
        if self.channel is not None:
            self.channel.write(line_of(entry))
