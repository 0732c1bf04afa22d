"""A child's directory, put into one file and taken out of it again.

The directory is the child's, and the child may be at work in it, or another account's, or up to no good: what is a file
now may be a link to somebody else's secret before it is opened. So nothing is reached by its path: every step goes from
an open directory to a name in it, and follows no link. Of a child with an account of its own only files of that account
are taken, because a hard link shows no other way whose it is. What cannot be put back (devices, sockets, links that
lead out) is left out.
"""

import os
import stat
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOWHERE = "/nowhere"


def pack(folder: Path, names: Iterable[str], target: IO[bytes], owner: int | None = None) -> None:
    """Put these entries of a directory into a file. Raises FileNotFoundError when one is gone meanwhile."""
    root = os.open(folder, _DIRECTORY)
    try:
        with tarfile.open(fileobj=target, mode="w") as packed:
            for name in names:
                _add(packed, root, name, name, owner)
    finally:
        os.close(root)


def unpack(source: IO[bytes], folder: Path) -> None:
    """Take everything out again."""
    with tarfile.open(fileobj=source) as packed:
        packed.extractall(folder, filter="data")


def hand_over(folder: Path, uid: int, gid: int) -> None:
    """Give a directory to an account, which has not been let in before."""
    for _, folders, files, at in os.fwalk(folder):
        for name in (*folders, *files):
            os.chown(name, uid, gid, dir_fd=at, follow_symlinks=False)
    os.chown(folder, uid, gid)


def head(folder: Path, name: str, size: int) -> bytes:
    """Give the beginning of a plain file in a directory, and nothing of anything else."""
    root = os.open(folder, _DIRECTORY)
    try:
        file = os.open(name, _FILE, dir_fd=root)
        try:
            return os.read(file, size) if stat.S_ISREG(os.fstat(file).st_mode) else b""
        finally:
            os.close(file)
    finally:
        os.close(root)


def _add(packed: tarfile.TarFile, at: int, name: str, path: str, owner: int | None) -> None:
    facts = os.stat(name, dir_fd=at, follow_symlinks=False)
    entry = tarfile.TarInfo(path)
    entry.mtime, entry.mode = int(facts.st_mtime), stat.S_IMODE(facts.st_mode) & 0o777
    if stat.S_ISDIR(facts.st_mode):
        _add_directory(packed, entry, at, name, owner)
    elif stat.S_ISREG(facts.st_mode):
        _add_file(packed, entry, at, name, owner)
    elif stat.S_ISLNK(facts.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=at)
        if _stays_inside(entry):
            packed.addfile(entry)


def _add_directory(packed: tarfile.TarFile, entry: tarfile.TarInfo, at: int, name: str, owner: int | None) -> None:
    entry.type = tarfile.DIRTYPE
    packed.addfile(entry)
    inside = os.open(name, _DIRECTORY, dir_fd=at)
    try:
        for each in sorted(os.listdir(inside)):  # noqa: PTH208 - of a descriptor, not of a path
            _add(packed, inside, each, f"{entry.name}/{each}", owner)
    finally:
        os.close(inside)


def _add_file(packed: tarfile.TarFile, entry: tarfile.TarInfo, at: int, name: str, owner: int | None) -> None:
    with os.fdopen(os.open(name, _FILE, dir_fd=at), "rb") as file:
        facts = os.fstat(file.fileno())
        if stat.S_ISREG(facts.st_mode) and owner in {None, facts.st_uid}:
            entry.size = facts.st_size
            packed.addfile(entry, file)


def _stays_inside(entry: tarfile.TarInfo) -> bool:
    try:
        tarfile.data_filter(entry, _NOWHERE)
    except tarfile.FilterError:
        return False
    return True
