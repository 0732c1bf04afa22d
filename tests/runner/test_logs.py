import json
import logging
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from runner.logs import Channel, Log, LogHandler, line_of


class Pipe:
    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.channel = Channel(self.writer)
        self.log = Log(self.channel)

    def lines(self) -> list[dict[str, Any]]:
        os.close(self.writer)
        self.writer = -1
        with os.fdopen(os.dup(self.reader), "rb") as file:
            return [json.loads(line) for line in file.read().splitlines()]

    def close(self) -> None:
        for descriptor in (self.reader, self.writer):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    one = Pipe()
    yield one
    one.close()


def fail() -> None:
    raise ValueError("bad")


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_an_entry_has_when_how_bad_what_and_who(pipe: Pipe) -> None:
    before = datetime.now(UTC)
    pipe.log.info("counted", rows=3)
    [entry] = pipe.lines()
    assert before <= datetime.fromisoformat(entry.pop("timestamp")) <= datetime.now(UTC)
    assert entry == {"level": "info", "event": "counted", "logger": "task", "rows": 3}


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_each_level_is_called_by_its_name(pipe: Pipe, level: str) -> None:
    getattr(pipe.log, level)("said")
    assert pipe.lines()[0]["level"] == level


def test_an_exception_that_is_handled_is_told(pipe: Pipe) -> None:
    try:
        fail()
    except ValueError:
        pipe.log.exception("it failed", row=3)
    [entry] = pipe.lines()
    assert (entry["level"], entry["row"]) == ("error", 3)
    assert entry["exception"][0]["exc_type"] == "ValueError"


def test_a_bound_log_says_more_and_leaves_the_first_as_it_was(pipe: Pipe) -> None:
    bound = pipe.log.bind(part=1)
    bound.info("a", row=2)
    bound.info("b", part=3)
    pipe.log.info("c")
    assert [(entry.get("part"), entry.get("row")) for entry in pipe.lines()] == [(1, 2), (3, None), (None, None)]


@pytest.mark.parametrize("key", ["msg", "target", "timestamp", "level", "event_", "logger", "exception", "lineno"])
def test_no_field_takes_a_key_that_means_something(pipe: Pipe, key: str) -> None:
    pipe.log.write("info", "said", {key: "mine"})
    [entry] = pipe.lines()
    assert entry[key if key.endswith("_") else f"{key}_"] == "mine"
    assert (entry["level"], entry["event"], entry["logger"]) == ("info", "said", "task")


@pytest.mark.parametrize(
    "value",
    [object(), Hostile(), {1: 2, "a": {Hostile()}}, "\ud800", b"\xff", float("nan"), 2**70, [Hostile()], 1j],
    ids=lambda value: type(value).__name__,
)
def test_whatever_is_logged_is_a_line(value: object) -> None:
    assert isinstance(json.loads(line_of({"level": "info", "event": "said", "value": value})), dict)


def test_a_value_that_refers_to_itself_is_a_line() -> None:
    value: list[object] = []
    value.append(value)
    assert json.loads(line_of({"value": value}))["value"] == "[[...]]"


def test_an_event_that_is_no_text_is_a_line() -> None:
    assert json.loads(line_of({"event": "\ud800"}))["event"] == "\\ud800"


def test_long_lines_of_many_threads_do_not_mix(pipe: Pipe) -> None:
    def write(letter: str) -> None:
        for _ in range(20):
            pipe.log.info(letter * 100_000)

    found: list[str] = []

    def read() -> None:
        with os.fdopen(os.dup(pipe.reader), "rb") as file:
            found.extend(json.loads(line)["event"] for line in file)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(letter,)) for letter in "abc"]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    os.close(pipe.writer)
    pipe.writer = -1
    reader.join()
    assert sorted(found) == [letter * 100_000 for letter in "abc" for _ in range(20)]


def test_a_closed_channel_is_ignored(pipe: Pipe) -> None:
    os.close(pipe.reader)
    pipe.log.info("to nobody")
    pipe.reader = -1


def test_a_line_after_one_that_was_interrupted_begins_anew(pipe: Pipe) -> None:
    pipe.channel._torn = True  # noqa: SLF001 - what an interruption in the middle of a write leaves
    pipe.log.info("whole")
    os.close(pipe.writer)
    pipe.writer = -1
    assert os.read(pipe.reader, 1000).startswith(b"\n{")


def handler_of(pipe: Pipe) -> LogHandler:
    handler = LogHandler()
    handler.channel = pipe.channel
    return handler


@pytest.fixture
def logger(pipe: Pipe) -> Iterator[logging.Logger]:
    one = logging.getLogger("library")
    one.setLevel(logging.DEBUG)
    one.propagate = False
    one.addHandler(handler_of(pipe))
    yield one
    one.handlers.clear()


def test_the_standard_librarys_logging_goes_to_the_channel(pipe: Pipe, logger: logging.Logger) -> None:
    logger.warning("%d rows", 3)
    [entry] = pipe.lines()
    assert (entry["level"], entry["event"], entry["logger"]) == ("warning", "3 rows", "library")
    assert entry["filename"] == __file__


@pytest.mark.parametrize(
    ("number", "name"),
    [(5, "debug"), (10, "debug"), (20, "info"), (25, "info"), (30, "warning"), (40, "error"), (50, "critical")],
)
def test_levels_of_ones_own_are_called_by_the_one_below(
    pipe: Pipe, logger: logging.Logger, number: int, name: str
) -> None:
    logger.setLevel(1)
    logger.log(number, "said")
    assert pipe.lines()[0]["level"] == name


def test_arguments_that_do_not_fit_are_shown(pipe: Pipe, logger: logging.Logger) -> None:
    record = logger.makeRecord("library", logging.INFO, __file__, 1, "%d rows", ("three",), None)
    handler_of(pipe).emit(record)
    assert pipe.lines()[0]["event"] == "'%d rows' with ('three',)"


def test_an_exception_that_logging_was_given_is_told(pipe: Pipe, logger: logging.Logger) -> None:
    try:
        fail()
    except ValueError:
        logger.exception("it failed")
    assert pipe.lines()[0]["exception"][0]["exc_value"] == "bad"


def test_logging_is_taken_from_whoever_had_it(pipe: Pipe) -> None:
    root, handlers, level = logging.root, list(logging.root.handlers), logging.root.level
    try:
        LogHandler().take_over(pipe.channel)
        assert [type(handler) for handler in root.handlers] == [LogHandler]
        assert root.level == logging.INFO
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
