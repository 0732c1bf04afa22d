import hashlib
from pathlib import Path

import pytest

from protocol.messages.checkpoints import BlobReference, CheckpointRecord
from runner.blobs import BlobCorrupt, checked, keep
from runner.checkpoints import Checkpoint
from tests.runner.samples import NOW


def test_no_checkpoint_is_an_empty_and_false_one() -> None:
    checkpoint = Checkpoint(note="the last three resumes made no progress")
    assert not checkpoint
    assert checkpoint.get("step", 0) == 0
    assert (checkpoint.data, checkpoint.progress, checkpoint.seq, checkpoint.blob) == (None, None, 0, None)
    assert dict(checkpoint) == {}
    assert repr(checkpoint) == "Checkpoint()"


def test_a_checkpoint_is_the_mapping_that_was_saved() -> None:
    checkpoint = Checkpoint(CheckpointRecord(4, 1, NOW, 0.5, None, {"step": 3}))
    assert checkpoint
    assert dict(checkpoint) == {"step": 3}
    assert len(checkpoint) == 1
    assert (checkpoint.progress, checkpoint.seq) == (0.5, 4)
    assert repr(checkpoint) == "Checkpoint(seq=4, progress=0.5, data={'step': 3})"


def test_a_checkpoint_may_be_anything_else() -> None:
    checkpoint = Checkpoint(CheckpointRecord(4, 1, NOW, data=[1, 2]))
    assert checkpoint
    assert checkpoint.data == [1, 2]
    assert dict(checkpoint) == {}


def test_a_file_is_kept_whole_under_its_hash_and_found_again(tmp_path: Path) -> None:
    source, folder = tmp_path / "weights", tmp_path / "a folder" / "blobs"
    data = bytes(range(256)) * 20_000
    source.write_bytes(data)
    reference = keep(source, folder)
    source.unlink()
    assert (reference.sha256, reference.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert reference.uri.startswith("file:///")
    assert Checkpoint(CheckpointRecord(1, 1, NOW, blob=reference)).blob == folder / reference.sha256
    assert checked(reference).read_bytes() == data
    assert [file.name for file in folder.iterdir()] == [reference.sha256]


def test_the_same_file_kept_twice_is_one_file(tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_bytes(b"same")
    assert keep(source, tmp_path / "blobs") == keep(source, tmp_path / "blobs")
    assert len(list((tmp_path / "blobs").iterdir())) == 1


def test_a_file_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        keep(tmp_path / "missing", tmp_path / "blobs")
    with pytest.raises(IsADirectoryError):
        keep(tmp_path, tmp_path / "blobs")
    assert list((tmp_path / "blobs").iterdir()) == []


def test_a_file_that_was_changed_is_not_resumed_from(tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_bytes(b"good")
    reference = keep(source, tmp_path / "blobs")
    (tmp_path / "blobs" / reference.sha256).write_bytes(b"evil")
    with pytest.raises(BlobCorrupt, match="not what was saved"):
        checked(reference)


def test_a_file_that_is_gone_or_elsewhere_is_not_resumed_from(tmp_path: Path) -> None:
    with pytest.raises(BlobCorrupt, match="cannot be read"):
        checked(BlobReference((tmp_path / "gone").as_uri(), "0" * 64, 3))
    with pytest.raises(BlobCorrupt, match="is gone"):
        checked(BlobReference("memory://bucket/key", "0" * 64, 3))
