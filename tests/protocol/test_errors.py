import pytest

from protocol import errors
from protocol.errors import BadMessage, FrameTooLong, LocalProtocolError, ProtocolError, RemoteProtocolError


def test_whose_fault_it_was_is_never_both() -> None:
    assert not issubclass(RemoteProtocolError, LocalProtocolError)
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
    assert issubclass(RemoteProtocolError, ProtocolError)


def test_a_remote_fault_says_what_was_expected_and_what_came() -> None:
    fault = FrameTooLong("at most 4 bytes", "a prefix that says 5")
    assert (fault.expected, fault.came) == ("at most 4 bytes", "a prefix that says 5")
    assert str(fault) == "expected at most 4 bytes, came a prefix that says 5"


@pytest.mark.parametrize("kind", [errors.NoBody, errors.UnknownType, errors.BadField, errors.NotAllowed])
def test_a_bad_message_does_not_end_the_conversation(kind: type[Exception]) -> None:
    assert issubclass(kind, BadMessage)
