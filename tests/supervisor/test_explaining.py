from itertools import product

import pytest

from supervisor.deadlines import Deadline
from supervisor.explaining import End, Overdue, late, process_words, why
from supervisor.outcome import FailureKind

K = FailureKind
LATE = Overdue(Deadline.EXECUTION, 2.0)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (End(K.APP, 7), "exit 7"),
        (End(K.APP, 74), "exit 74"),
        (End(K.APP, 5, talks=True), "exit 5"),
        (
            End(K.APP, 74, talks=True),
            "74 is what our runner ends with when its channel to the worker is lost; exit 74",
        ),
        (End(K.APP, None, 11), "killed by SIGSEGV (signal 11)"),
        (End(K.APP, None, 9), "it was killed by somebody else than this worker; killed by SIGKILL (signal 9)"),
        (End(K.APP, None, 34), "killed by signal 34"),
        (End(K.TIMEOUT, 143, None, LATE), "its time-out of 2 s is over; exit 143"),
        (End(K.TIMEOUT, None, None), "nobody knows why"),
        (End(K.PROTOCOL, None, 15, LATE, fault="EmptyFrame: 0"), "EmptyFrame: 0; killed by SIGTERM (signal 15)"),
        (End(K.EVICTED, 143), "it was stopped before it was done; exit 143"),
        (End(K.EVICTED, 143, stop="drain"), "it was stopped (drain) before it was done; exit 143"),
        (End(K.BOOT, fault="no such program"), "no such program"),
        (End(K.FENCED, 143), "no heartbeat was answered, and its lease was over; exit 143"),
        (End(K.FENCED, 143, terminated=True), "the server did not want it to run any more; exit 143"),
    ],
)
def test_what_is_said(end: End, words: str) -> None:
    assert why(end) == words


def test_an_exit_0_that_is_no_success_says_what_it_may_have_been() -> None:
    assert "os._exit" in why(End(K.NO_OUTCOME, 0))


def test_every_deadline_has_words_with_or_without_its_span() -> None:
    words = {late(Overdue(deadline, span)) for deadline, span in product(Deadline, (None, 1.5))}
    assert len(words) == 2 * len(Deadline)
    assert all(word.endswith(" is over") for word in words)


def test_every_kind_has_words() -> None:
    assert (
        len({why(End(kind, 1, overdue=Overdue(Deadline.BOOT, 60.0))) for kind in FailureKind}) >= len(FailureKind) - 2
    )


def test_of_a_process_that_nobody_saw_nothing_is_said() -> None:
    assert process_words(None, None) == ""
