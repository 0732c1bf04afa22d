"""Where checkpoints' files are kept: a folder, or an object store by its URL.

A file is made whole before it is spoken of. In a folder: written beside its place, hashed on the way, forced to disk,
renamed, and its folder forced to disk. In an object store, which shows an object only when all of it is there: hashed,
put, and its size asked for. Its name is its hash, so a reference can be checked, and is whenever it is followed.

Each task instance has a folder of its own. `sweep` removes from it what no kept record refers to any more; only what
was there before the save that made it superfluous, so that an attempt which was replaced without knowing it can never
take away what its successor wrote.
"""

import os
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from protocol.messages.checkpoints import BlobReference
from runner.points import point

_AT_ONCE = 1024 * 1024
_NAME_CAP = 200


class BlobCorrupt(Exception):
    """A checkpoint's file is not what was saved."""


class BlobStoreAbsent(Exception):
    """What a store of this kind needs is not installed."""


def place_of(where: str | Path, *names: object) -> str:
    """Give the folder of a task instance within a store."""
    parts = (quote(str(name), safe=" ").replace(".", "%2E")[:_NAME_CAP] for name in names)
    return "/".join((str(where).rstrip("/"), *parts))


def keep(source: Path, where: str | Path) -> BlobReference:
    """Copy a file to where checkpoints are kept, and give the reference to it."""
    folder = local(where)
    return _keep_remote(source, str(where)) if folder is None else _keep_here(source, folder)


def checked(reference: BlobReference) -> Path:
    """Give the file of a reference, or say what is wrong with it. Of an object store, a copy here."""
    path = local(reference.uri)
    found = _fetched(reference) if path is None else path
    try:
        digest = _hash_of(found)
    except FileNotFoundError as error:
        raise BlobCorrupt(f"{found} is gone: the checkpoint's file cannot be read") from error
    if digest != reference.sha256:
        raise BlobCorrupt(f"{reference.uri} is not what was saved: its SHA-256 is {digest}, not {reference.sha256}")
    return found


def sweep(where: str | Path, before: Collection[str], keep_: Collection[str]) -> None:
    """Remove of what was there before all that is not to be kept; whatever cannot be removed stays."""
    folder = local(where)
    for uri in set(before) - set(keep_):
        try:
            path = local(uri)
            if folder is not None and path is not None:
                path.unlink(missing_ok=True)
            elif path is None:
                _system(uri)[0].rm(uri)
        except OSError:
            continue


def kept(where: str | Path) -> list[str]:
    """Give the addresses of all whole files of a folder."""
    folder = local(where)
    if folder is not None:
        found = folder.iterdir() if folder.is_dir() else ()
        return [path.resolve().as_uri() for path in found if not path.name.startswith(".")]
    system, path = _system(str(where))
    names = system.ls(path, detail=False) if system.exists(path) else []
    return [f"{where}/{str(name).rpartition('/')[2]}" for name in names]


def local(where: str | Path) -> Path | None:
    """Give the path of what is on this machine's file system; None for what only fsspec reaches."""
    if isinstance(where, Path):
        return where
    address = urlsplit(where)
    if address.scheme == "file":
        return Path(unquote(address.path))
    return Path(where).expanduser() if not address.scheme else None


def _keep_here(source: Path, folder: Path) -> BlobReference:
    from hashlib import sha256  # noqa: PLC0415 - brings OpenSSL, which would be mapped into every child

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    half = folder / f".{os.getpid()}-{os.urandom(8).hex()}"
    try:
        with source.open("rb") as original, half.open("xb") as copy:
            digest, size = sha256(), 0
            while piece := original.read(_AT_ONCE):
                digest.update(piece)
                copy.write(piece)
                size += len(piece)
            copy.flush()
            os.fsync(copy.fileno())
        point("child.blob.written")
        place = folder / digest.hexdigest()
        half.replace(place)
        point("child.blob.renamed")
    finally:
        half.unlink(missing_ok=True)
    _sync(folder)
    return BlobReference(place.resolve().as_uri(), digest.hexdigest(), size)


def _keep_remote(source: Path, where: str) -> BlobReference:
    system, _ = _system(where)
    digest, size = _hash_of(source), source.stat().st_size
    uri = f"{where}/{digest}"
    system.makedirs(where, exist_ok=True)
    system.put_file(str(source), uri)
    found = system.info(uri)["size"]
    if found != size:
        raise OSError(f"{uri} has {found} bytes; {size} were put there")
    return BlobReference(uri, digest, size)


def _fetched(reference: BlobReference) -> Path:
    import tempfile  # noqa: PLC0415 - brings ten more libraries, as above

    place = Path(tempfile.gettempdir(), f"taskhand-{reference.sha256}")
    system, path = _system(reference.uri)
    try:
        system.get_file(path, str(place))
    except FileNotFoundError as error:
        raise BlobCorrupt(f"{reference.uri} is gone") from error
    return place


def _system(uri: str) -> tuple[Any, str]:
    """Give the file system of a URL, and the path in it."""
    core = _fsspec(uri)
    try:
        system, path = core.url_to_fs(uri)
    except (
        ImportError,
        ValueError,
    ) as error:  # fsspec lacks what this kind needs, and says what; or knows no such kind
        raise BlobStoreAbsent(f"{uri}: {error}") from error
    return system, path


def _fsspec(uri: str) -> ModuleType:
    try:
        return import_module("fsspec.core")
    except ModuleNotFoundError as error:
        raise BlobStoreAbsent(f"{uri} needs fsspec: pip install 'taskhand[fsspec]'") from error


def _hash_of(path: Path) -> str:
    from hashlib import file_digest  # noqa: PLC0415 - as above

    with path.open("rb") as content:
        return file_digest(content, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
