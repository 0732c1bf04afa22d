"""A directory that is packed while its owner is up to no good."""

import io
import os
import socket
from pathlib import Path

import pytest

from supervisor.packing import hand_over, head, pack, unpack


def moved(folder: Path, to: Path, *names: str, owner: int | None = None) -> Path:
    file = io.BytesIO()
    pack(folder, names, file, owner)
    file.seek(0)
    to.mkdir()
    unpack(file, to)
    return to


def test_files_directories_and_links_inside_are_as_they_were(tmp_path: Path) -> None:
    inner = tmp_path / "from" / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"x" * 100_000)
    (inner / "script").write_text("exit 0")
    (inner / "script").chmod(0o755)
    (inner.parent / "link").symlink_to("b/file")
    (tmp_path / "from" / "top").write_text("top")
    (tmp_path / "from" / "half.tmp").write_text("half")
    to = moved(tmp_path / "from", tmp_path / "to", "a", "top")
    assert sorted(str(path.relative_to(to)) for path in to.rglob("*")) == [
        "a", "a/b", "a/b/file", "a/b/script", "a/link", "top",
    ]  # fmt: skip
    assert (to / "a" / "link").read_bytes() == b"x" * 100_000
    assert os.access(to / "a" / "b" / "script", os.X_OK)


def test_what_cannot_be_put_back_and_what_leads_out_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "from"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "absolute").symlink_to(tmp_path / "secret")
    (folder / "out").symlink_to("../secret")
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
    (folder / "file").write_text("file")
    to = moved(folder, tmp_path / "to", *sorted(path.name for path in folder.iterdir()))
    assert [path.name for path in to.iterdir()] == ["file"]


def test_files_of_another_account_are_not_taken(tmp_path: Path) -> None:
    """A hard link to what its maker cannot read."""
    folder = tmp_path / "from"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "link").hardlink_to(tmp_path / "secret")
    assert [*moved(folder, tmp_path / "to", "link", owner=os.geteuid() + 1).iterdir()] == []


def test_a_directory_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "from").symlink_to("/etc")
    with pytest.raises(OSError, match="directory"):
        pack(tmp_path / "from", ["hostname"], io.BytesIO())
    with pytest.raises(OSError, match="directory"):
        head(tmp_path / "from", "hostname", 1)


def test_only_a_file_has_a_beginning(tmp_path: Path) -> None:
    (tmp_path / "progress").write_text("12.5\n")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert head(tmp_path, "progress", 64) == b"12.5\n"
    assert head(tmp_path, "fifo", 64) == b""
    with pytest.raises(OSError, match="symbolic"):
        head(tmp_path, "zero", 64)


def test_what_is_gone_meanwhile_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pack(tmp_path, ["gone"], io.BytesIO())


@pytest.mark.skipif(os.geteuid() != 0, reason="changing accounts is root's")
def test_a_directory_is_handed_over_whole_and_what_its_links_lead_to_is_not(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").touch()
    other.touch()
    (folder / "link").symlink_to(other)
    hand_over(folder, 65534, 65534)
    assert {path.lstat().st_uid for path in (folder, *folder.rglob("*"))} == {65534}
    assert other.stat().st_uid == os.geteuid()
