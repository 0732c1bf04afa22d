import msgspec
import pytest

from protocol.messages import hitl
from protocol.messages.hitl import CreateHITLDetailPayload, HITLDetailRequestResult
from tests.protocol.messages.exercise import exercise_messages
from tests.protocol.samples import IDENTITY, as_map


def test_messages() -> None:
    exercise_messages(hitl, strict=set())


def test_a_question_needs_an_option() -> None:
    with pytest.raises(msgspec.ValidationError, match="length >= 1"):
        msgspec.convert(as_map(CreateHITLDetailPayload(IDENTITY, [], "?")), CreateHITLDetailPayload)


def test_the_record_leaves_out_what_was_not_set() -> None:
    assert set(as_map(HITLDetailRequestResult(IDENTITY, ["yes"], "?"))) == {"type", "ti_id", "options", "subject"}
