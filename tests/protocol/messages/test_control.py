import msgspec
import pytest

from protocol.messages import control
from protocol.messages.control import ErrorResponse, SetExecutionTimeout, SkipDownstreamTasks
from tests.protocol.messages.exercise import exercise_messages
from tests.protocol.samples import as_map


def test_messages() -> None:
    exercise_messages(control, strict={"SkipDownstreamTasks"})


def test_an_error_is_generic_unless_it_says_more() -> None:
    assert as_map(ErrorResponse()) == {"type": "ErrorResponse", "error": "GENERIC_ERROR", "detail": None}


def test_tasks_to_skip_are_ids_or_ids_with_a_map_index() -> None:
    message = SkipDownstreamTasks(["a", ("b", 3)])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=SkipDownstreamTasks) == message


@pytest.mark.parametrize("seconds", [0, -1.0])
def test_a_time_out_is_longer_than_nothing(seconds: float) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": "SetExecutionTimeout", "timeout_seconds": seconds}, SetExecutionTimeout)
