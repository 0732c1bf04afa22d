from protocol.messages import xcoms
from protocol.messages.xcoms import XComResult, XComSequenceIndexResult, XComSequenceSliceResult
from tests.protocol.messages.exercise import exercise_messages
from tests.protocol.samples import as_map


def test_messages() -> None:
    exercise_messages(xcoms, strict=set())


def test_an_absent_value_is_nil_not_missing() -> None:
    assert as_map(XComResult("key", None)) == {"type": "XComResult", "key": "key", "value": None}


def test_sequences_are_under_root() -> None:
    assert as_map(XComSequenceIndexResult(5)) == {"type": "XComSequenceIndexResult", "root": 5}
    assert as_map(XComSequenceSliceResult([1, "a"])) == {"type": "XComSequenceSliceResult", "root": [1, "a"]}
