"""`worker upgrade`: a worker becomes its successor, and its tasks do not notice.

The process executes itself anew: the same pid, and therefore the same parent, terminal and unit; new code, and another
Python where one is named. Its children are adopted as those of a worker that was killed are, by the same path; only
that it claims no more before it goes, and that what it had to write is written. Whoever asks leaves a note of what he
wants beside the one by which workers are found, and the successor leaves another when it is ready.

A worker gives itself up for nobody who could not take its place. So it has the successor tried first, as it would be
executed (`--check`): one that cannot read its settings, import its code or start a keeper says so, and one that would
look elsewhere for what the worker leaves, or could not read it, is known by what it says of itself. Then the worker
stays, and the reason is in the note.
"""

import asyncio
import contextlib
import os
import resource
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from supervisor import journal as records
from supervisor import slate
from supervisor.journal_writer import Journal
from supervisor.orders import Office
from supervisor.points import point
from supervisor.settings import Settings

CHECK = "--check"
CHECK_S = 60.0
"""A keeper alone may take half of it on a busy machine. Nobody waits for it but who asked: the worker works."""
HELD_BACK = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGUSR1})
"""What is said to a worker while it has no ears: it waits until its successor has some."""
DRAINED = "it is being drained"


class Inheritance(Struct, frozen=True):
    """What a worker reads of the one before it and leaves to the one after, and where."""

    state_dir: str
    api: str
    """The server's host: the tasks' tokens are shown to no other."""
    adopts: bool = True
    slate: int = slate.VERSION
    journal: int = records.VERSION

    @classmethod
    def of(cls, settings: Settings) -> "Inheritance":
        """Say it of a worker with these settings."""
        host = urlsplit(settings.api.url).hostname or ""
        return cls(str(settings.state_dir.resolve()), host, settings.journal.enabled)


class Wish(Struct, frozen=True):
    """What somebody wants, and since when the worker is gone, or why it stays."""

    python: str = ""
    """Which Python is to run; empty: the same."""
    left: float = 0.0
    refused: str = ""


class Leaving(Protocol):
    """A worker, to whom takes care of its succession."""

    @property
    def draining(self) -> bool:
        """Whether it claims no more."""

    @property
    def leaving(self) -> bool:
        """Whether it waits for its successor: a drain ends that."""

    def leave(self, successor: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Claim no more and call this; False when it ends anyway."""


def note_of(state_dir: Path, pid: int) -> Path:
    """Say where the note to a worker is left."""
    return state_dir / "workers" / f"{pid}.upgrade"


def read(state_dir: Path, pid: int) -> Wish:
    """Read the note. One that is not there wishes for nothing in particular."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(note_of(state_dir, pid).read_bytes(), type=Wish)
    return Wish()


def write(state_dir: Path, pid: int, wish: Wish) -> None:
    """Leave a note, in the place of the one before. Who asks as root leaves what the worker's account can read."""
    note, folder = note_of(state_dir, pid), state_dir.joinpath("workers").stat()
    half = note.with_suffix(".wish")
    half.write_bytes(msgspec.json.encode(wish))
    if folder.st_uid != os.geteuid():
        os.chown(half, folder.st_uid, folder.st_gid)
    half.replace(note)


def arrived(state_dir: Path) -> float | None:
    """Say how long there was no worker, if we are a successor that was asked for; the note is taken away.

    Another wish may stand there by now: it was for us.
    """
    wish = read(state_dir, os.getpid())
    if not wish.left:
        return None
    forget(state_dir)
    return time.monotonic() - wish.left


def forget(state_dir: Path) -> None:
    """Take the note to us away. Where somebody has put something else in its place, that stays."""
    with contextlib.suppress(OSError):
        note_of(state_dir, os.getpid()).unlink()


class Upgrade:
    """What a worker does when it is asked to become its successor. `ask` is called for each time that it is."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a worker gives up, and what it needs for that
        self,
        worker: Leaving,
        journal: Journal,
        office: Office,
        while_fd: int | None,
        settings: Settings,
        complain: Callable[[str], None],
    ) -> None:
        self._state_dir = settings.state_dir
        self._left = Inheritance.of(settings)
        self._worker = worker
        self._journal = journal
        self._office = office
        self._while_fd = while_fd
        self._complain = complain
        self._trying: asyncio.Task[None] | None = None
        self._leaving = False

    def ask(self) -> None:
        """Somebody has left a note. Who asks while another's wish is tried gets the same successor."""
        if not self._leaving and (self._trying is None or self._trying.done()):
            self._trying = asyncio.get_running_loop().create_task(self._try())

    def stop(self) -> None:
        """Try no more."""
        if self._trying is not None:
            self._trying.cancel()

    async def _try(self) -> None:
        why: str | None = DRAINED
        command: list[str] = []
        while not self._worker.draining:
            wish = read(self._state_dir, os.getpid())
            command = successor(wish.python)
            why = await unfit(command, self._left)
            if why is not None or read(self._state_dir, os.getpid()) == wish:
                break
        if why is None:
            self._leaving = self._worker.leave(partial(self._replace, command))
            why = None if self._leaving else DRAINED
        if why is not None:
            self._refuse(why)

    def _refuse(self, why: str) -> None:
        self._leaving = False
        self._complain(f"no upgrade: {why}; this worker goes on")
        with contextlib.suppress(OSError):
            write(self._state_dir, os.getpid(), Wish(refused=why))

    async def _replace(self, command: list[str]) -> None:
        """Write what is to be written, and become the successor. Comes back when it was not to be."""
        await self._office.logs.pause()
        await self._journal.stop()
        with _held_back():
            for _ in range(3):  # what came before is in the loop's pipe: read in one turn, called in the next
                await asyncio.sleep(0)
            why = self._become(command) if self._worker.leaving else DRAINED
        self._office.logs.resume()
        self._refuse(why)

    def _become(self, command: list[str]) -> str:
        """Give why it could not be."""
        mine = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = self._office.keeper.open_files
        if self._while_fd is not None:
            os.set_inheritable(self._while_fd, True)  # noqa: FBT003 - the standard library's own signature
        if files is not None:  # ours were raised: the successor is to find what is usual here, for its children
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, mine[1]))
        with contextlib.suppress(OSError):  # a full disk: nobody will know how long we were away
            write(self._state_dir, os.getpid(), Wish(left=time.monotonic()))
        point("worker.replaced")
        try:
            os.execv(command[0], command)  # noqa: S606 - it is the point
        except OSError as error:
            resource.setrlimit(resource.RLIMIT_NOFILE, mine)
            if self._while_fd is not None:
                os.set_inheritable(self._while_fd, False)  # noqa: FBT003 - as above
            return f"{command[0]} cannot be executed: {error.strerror}"


async def unfit(command: list[str], left: Inheritance) -> str | None:
    """Say why what this command line makes could not take over what is left to it; None where it could."""
    try:
        process = await asyncio.create_subprocess_exec(*command, CHECK, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    except OSError as error:
        return f"{command[0]} cannot be executed: {error.strerror}"
    try:
        async with asyncio.timeout(CHECK_S):
            out, err = await process.communicate()
    except TimeoutError:
        return f"its successor did not say within {CHECK_S:g} s whether it can start"
    finally:
        if process.returncode is None:
            process.kill()
    said = err.decode(errors="replace").strip().splitlines()
    if process.returncode != 0:
        why = said[-1].removeprefix("Error: ") if said else f"it exited with {process.returncode}"
        return f"its successor could not start: {why}"
    try:
        theirs = msgspec.json.decode(out, type=Inheritance)
    except msgspec.MsgspecError:
        return f"its successor does not say what it can read: {out[:80]!r}"
    return unfound(theirs, left) or unread(theirs, left)


def unfound(theirs: Inheritance, ours: Inheritance) -> str | None:
    """Say what of ours a successor would not look for where it is."""
    settings = "its settings were changed since this worker started: change them back, or drain it (worker drain) first"
    if theirs.state_dir != ours.state_dir:
        return (
            f"its tasks are in {ours.state_dir}, and its successor's state directory is {theirs.state_dir}; {settings}"
        )
    if theirs.api != ours.api:
        return f"its tasks are of the server at {ours.api}, and its successor's is at {theirs.api}; {settings}"
    if not theirs.adopts:
        return f"its successor would have no journal and adopt nothing (journal.enabled); {settings}"
    return None


def unread(theirs: Inheritance, ours: Inheritance) -> str | None:
    """Say what of ours a successor could not read."""
    if theirs.slate != ours.slate:
        return (
            f"its tasks' slates are of version {ours.slate}, and its successor reads {theirs.slate}: "
            "drain it (worker drain), and start the other then"
        )
    if theirs.journal < ours.journal:
        return f"its journal is of version {ours.journal}, and its successor reads no newer than {theirs.journal}"
    return None


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Keep signals for the successor: executing a program takes the handlers away, and what they have not done yet.

    What is held back stays so in the program that is executed, and is let through where it has its handlers.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unsignalled() -> None:
    """Have a thread take no signal that the first one holds back."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)


def hear_again(*numbers: int) -> None:
    """There are handlers for these: let through what was held back for them."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def successor(python: str) -> list[str]:
    """Give the command line that makes the next of us, without what was for us alone."""
    same = [sys.executable, *sys.orig_argv[1:]]
    command = same if python in {"", sys.executable} else [python, "-P", "-m", "supervisor", *sys.argv[1:]]
    while "--ready-fd" in command:
        at = command.index("--ready-fd")
        del command[at : at + 2]
    return [word for word in command if not word.startswith("--ready-fd=")]
