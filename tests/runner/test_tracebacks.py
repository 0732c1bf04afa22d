import json
from typing import Any

import pytest

from runner.tracebacks import DEEPEST_GROUP, LONGEST_TEXT, MOST_FRAMES, MOST_LINKS, entries_of, text_of


def caught(raiser: Any, *args: Any) -> BaseException:
    try:
        raiser(*args)
    except BaseException as error:  # noqa: BLE001 - whatever the test raises
        return error
    raise AssertionError


def fail(message: str = "bad") -> None:
    raise ValueError(message)


def recurse(depth: int) -> None:
    if depth:
        recurse(depth - 1)
    fail()


def with_cause() -> None:
    try:
        fail("first")
    except ValueError as error:
        raise KeyError("second") from error


def with_context() -> None:
    try:
        fail("first")
    except ValueError:
        raise KeyError("second")  # noqa: B904 - the context is the point


def with_suppressed_context() -> None:
    try:
        fail("first")
    except ValueError:
        raise KeyError("second") from None


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_an_exception_tells_its_type_its_message_and_its_frames() -> None:
    [entry] = entries_of(caught(fail))
    assert (entry["exc_type"], entry["exc_value"], entry["is_cause"]) == ("ValueError", "bad", False)
    assert [frame["name"] for frame in entry["frames"]] == ["caught", "fail"]
    assert entry["frames"][-1]["filename"] == __file__
    assert set(entry) == {
        "exc_type",
        "exc_value",
        "exc_notes",
        "syntax_error",
        "is_cause",
        "frames",
        "is_group",
        "exceptions",
    }  # fmt: skip - as the channel lists them


def test_notes_are_told() -> None:
    error = caught(fail)
    error.add_note("while counting")
    assert entries_of(error)[0]["exc_notes"] == ["while counting"]


@pytest.mark.parametrize(
    ("raiser", "links"),
    [
        (with_cause, [("KeyError", False), ("ValueError", True)]),
        (with_context, [("KeyError", False), ("ValueError", False)]),
        (with_suppressed_context, [("KeyError", False)]),
    ],
)
def test_the_chain_is_told_from_the_last_to_the_first(raiser: Any, links: list[Any]) -> None:
    assert [(entry["exc_type"], entry["is_cause"]) for entry in entries_of(caught(raiser))] == links


def test_a_chain_that_bites_its_tail_ends() -> None:
    error, other = ValueError("a"), ValueError("b")
    error.__cause__, other.__cause__ = other, error
    assert len(entries_of(error)) == 2


def test_a_long_chain_is_cut() -> None:
    error = ValueError("0")
    for number in range(3 * MOST_LINKS):
        previous, error = error, ValueError(str(number))
        error.__cause__ = previous
    assert len(entries_of(error)) == MOST_LINKS


def test_a_deep_stack_keeps_its_ends() -> None:
    frames = entries_of(caught(recurse, 3 * MOST_FRAMES))[0]["frames"]
    assert len(frames) == MOST_FRAMES + 1
    assert (frames[0]["name"], frames[-1]["name"]) == ("caught", "fail")
    assert "left out" in frames[MOST_FRAMES // 2]["name"]


def test_a_group_tells_its_members() -> None:
    [entry] = entries_of(ExceptionGroup("two", [ValueError("a"), KeyError("b")]))
    assert entry["is_group"]
    assert [member[0]["exc_type"] for member in entry["exceptions"]] == ["ValueError", "KeyError"]


def test_groups_in_groups_end_somewhere() -> None:
    error: Exception = ValueError("inner")
    for _ in range(3 * DEEPEST_GROUP):
        error = ExceptionGroup("group", [error])
    depth, entries = 0, entries_of(error)
    while entries[0]["exceptions"]:
        depth, entries = depth + 1, entries[0]["exceptions"][0]
    assert depth == DEEPEST_GROUP


def test_a_syntax_error_tells_where() -> None:
    [entry] = entries_of(caught(compile, "a b", "flow.py", "exec"))
    assert (entry["syntax_error"]["filename"], entry["syntax_error"]["lineno"]) == ("flow.py", 1)


def test_a_syntax_error_that_knows_nothing_is_told_all_the_same() -> None:
    assert entries_of(SyntaxError("bad"))[0]["syntax_error"] == {
        "offset": 0,
        "filename": "?",
        "line": "",
        "lineno": 0,
        "msg": "bad",
    }  # fmt: skip - a table of defaults


def test_frames_of_ours_at_the_top_are_left_out() -> None:
    error = caught(text_of.__globals__["_frames"], object())
    assert [frame["name"] for frame in entries_of(error)[0]["frames"]] == ["caught", "_frames"]
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next
    assert entries_of(error)[0]["frames"] == []


def test_texts_are_bounded_and_can_be_encoded() -> None:
    assert len(text_of("x" * 10 * LONGEST_TEXT)) == LONGEST_TEXT
    assert text_of("\ud800") == "\\ud800"
    assert text_of(Unprintable()) == "<Unprintable, which cannot be shown>"
    assert json.dumps(entries_of(Unprintable()))
