import msgspec
import pytest

from protocol.messages import checkpoints
from protocol.messages.checkpoints import BlobReference, CheckpointRecord
from tests.protocol.messages.exercise import exercise_messages, messages_of
from tests.protocol.samples import MOMENT, as_map


def test_messages() -> None:
    exercise_messages(checkpoints, strict={message.__name__ for message in messages_of(checkpoints)})


@pytest.mark.parametrize("digest", ["", "0" * 63, "G" * 64, "0" * 65])
def test_a_blob_is_referenced_by_a_whole_digest(digest: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"uri": "file:///x", "sha256": digest, "size": 1}, BlobReference)


def test_generations_count_from_one() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(as_map(CheckpointRecord(0, 1, MOMENT)), CheckpointRecord)
