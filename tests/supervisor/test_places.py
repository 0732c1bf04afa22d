"""What is said of a place that is of no use."""

import errno
import os

import pytest

from supervisor.places import ANOTHER, ANYWHERE, TO_DO, PlaceError, is_freed, trouble


@pytest.mark.parametrize("number", TO_DO)
def test_it_names_the_place_and_what_to_do(number: int) -> None:
    said = trouble(OSError(number, os.strerror(number), "/here"), "/there")
    assert said == f"/here: {os.strerror(number)}; {TO_DO[number]}, {ANOTHER}"
    assert "Errno" not in said


@pytest.mark.parametrize("number", ANYWHERE)
def test_it_names_no_place_where_no_other_would_help(number: int) -> None:
    assert (
        trouble(OSError(number, os.strerror(number), "/here"), "/there") == f"{os.strerror(number)}; {ANYWHERE[number]}"
    )


def test_it_has_a_word_for_what_nobody_thought_of() -> None:
    assert trouble(OSError(errno.EIO, "Input/output error"), "/there").startswith(
        "/there: Input/output error; see that"
    )
    assert trouble(OSError("AF_UNIX path too long"), "/there").startswith("/there: AF_UNIX path too long; see that")


@pytest.mark.parametrize(("number", "freed"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False)])
def test_a_want_of_room_is_known_whatever_it_led_to(number: int, freed: bool) -> None:  # noqa: FBT001 - expected
    error = PlaceError("in words")
    error.__cause__ = KeyError("between")
    error.__cause__.__cause__ = OSError(number, os.strerror(number))
    assert is_freed(error) is freed
    assert is_freed(error.__cause__.__cause__) is freed
    assert not is_freed(PlaceError("in words"))
