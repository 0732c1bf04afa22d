import sys
from pathlib import Path
from uuid import uuid4

import pytest

from protocol.messages.checkpoints import BlobReference
from runner.blobs import BlobCorrupt, BlobStoreAbsent, checked, keep, kept, local, place_of, sweep


@pytest.fixture(params=["folder", "memory", "local"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    place = {"folder": str(tmp_path / "b"), "memory": f"memory://{uuid4()}", "local": f"local://{tmp_path}/b"}
    return place_of(place[request.param], "flow", "run", "../task", -1)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "weights"
    file.write_bytes(b"abc" * 1000)
    return file


def test_what_is_kept_is_found_again_and_checked(where: str, source: Path) -> None:
    reference = keep(source, where)
    assert checked(reference).read_bytes() == source.read_bytes()
    assert kept(where) == [reference.uri]
    wrong = BlobReference(reference.uri, "0" * 64, 3)
    with pytest.raises(BlobCorrupt, match="not what was saved"):
        checked(wrong)


def test_what_is_gone_is_said_to_be(where: str) -> None:
    assert kept(where) == []
    uri = where if "://" in where else Path(where).as_uri()
    with pytest.raises(BlobCorrupt, match="is gone"):
        checked(BlobReference(f"{uri}/nothing", "0" * 64, 3))


def test_only_what_was_there_before_is_swept(where: str, source: Path) -> None:
    first = keep(source, where)
    source.write_bytes(b"2")
    second = keep(source, where)
    before = kept(where)
    source.write_bytes(b"3")
    third = keep(source, where)
    sweep(where, before, [second.uri])
    assert sorted(kept(where)) == sorted([second.uri, third.uri])
    sweep(where, [first.uri], [])


def test_a_store_that_nothing_is_installed_for_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, source: Path
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == "fsspec"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(BlobStoreAbsent, match=r"pip install 'taskhand\[fsspec\]'"):
        keep(source, "s3://bucket")


def test_a_kind_of_store_that_nobody_knows_is_said(source: Path) -> None:
    with pytest.raises(BlobStoreAbsent, match="nonsense"):
        keep(source, "nonsense://bucket")


def test_addresses_of_this_machine_are_paths(tmp_path: Path) -> None:
    assert local(tmp_path) == tmp_path
    assert local("file:///a%20b") == Path("/a b")
    assert local("/a") == Path("/a")
    assert local("s3://a") is None
