import pytest

from protocol.messages.control import ErrorResponse
from protocol.messages.shape import Message
from protocol.vocabulary import ANSWERS, CHANGES, OURS, TASK, TERMINAL, TRIGGERER, Vocabulary, union
from tests.protocol.samples import every_message

RELEASED = 57
"""Questions of a task at version 2026-10-30."""


def test_every_question_of_a_task_has_an_answer_and_the_release_has_no_other() -> None:
    assert TASK.questions <= set(ANSWERS)
    assert len(TASK.questions - OURS) == RELEASED


@pytest.mark.parametrize("vocabulary", [TASK, TRIGGERER])
def test_every_answer_can_be_read_by_the_one_who_asked(vocabulary: Vocabulary) -> None:
    for question in vocabulary.questions:
        reply = ANSWERS[question].reply
        assert reply is type(None) or reply in vocabulary.replies
    assert ErrorResponse in vocabulary.replies
    assert vocabulary.greeting not in vocabulary.replies


def test_how_a_task_ends_is_acknowledged_with_an_empty_frame() -> None:
    assert TASK.questions >= TERMINAL
    assert {ANSWERS[message].reply for message in TERMINAL} == {type(None)}


def test_names_are_unique() -> None:
    names = [message.__name__ for message in every_message()]
    assert len(set(names)) == len(names)


def test_a_union_is_in_a_stable_order() -> None:
    members = frozenset({*TERMINAL})
    assert str(union(members)) == str(union(frozenset(sorted(members, key=str))))


def test_every_change_is_of_a_message() -> None:
    assert all(issubclass(change.message, Message) for change in CHANGES)
