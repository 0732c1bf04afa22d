"""A worker as a process: signals, readiness, the note that lets others find it."""

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from msgspec import structs

from protocol.http.workloads import ClaimRequest
from supervisor.api import Client
from supervisor.importing import uncollected
from supervisor.journal_files import folder_of, holder
from supervisor.keeper.identity import GoneError, start_time
from supervisor.opening import office, try_keeper
from supervisor.places import PlaceError, trouble
from supervisor.records import Record
from supervisor.settings import Settings, identity
from supervisor.sources import ClaimSource, Source, StdinSource
from supervisor.upgrading import Inheritance, Upgrade, arrived, forget, hear_again, unsignalled

if TYPE_CHECKING:
    from supervisor.owing import Memo
    from supervisor.recovering import Books, Outbox
    from supervisor.worker import Worker

T = TypeVar("T")


AGAIN_S = 1.0
_NOT_LET_IN = (401, 403)
_WHERE = "a server leaves one in its state directory, in `worker-token`: set TASKHAND_WORKER_TOKEN to what is in it"
NO_TOKEN = (
    f"claiming needs a worker token, and there is none. A worker on the server's state directory finds it; {_WHERE}"
)


class NoTokenError(Exception):
    """A claim needs a worker token, and none was given."""


class NoWorkError(Exception):
    """The server would give us no work."""


def run(main: Coroutine[Any, Any, T], *, fast: bool = True) -> T:
    """Run the loop: on uvloop where it is installed, and worth its import."""
    if fast:
        with contextlib.suppress(ModuleNotFoundError):
            import uvloop  # noqa: PLC0415 - optional, and not for `exec`

            return uvloop.run(main)
    return asyncio.run(main)


async def work(  # noqa: PLR0913 - what a worker is told by, one by one
    settings: Settings,
    source: Source | None,
    on_record: Callable[[Record], None],
    on_fault: Callable[[str], None],
    on_ready: Callable[[str], None] = lambda _: None,
    *,
    while_fd: int | None = None,
) -> int:
    """Be a worker until the source is dry or the drain done; give how many attempts could not be told of.

    The end of `while_fd` is a drain as well: whoever holds its other end wants a worker no longer, or was killed.

    One that is given its only work (`exec`) holds no journal: several may share a state directory. It keeps in mind
    what it owes, and leaves what it could not tell to the next worker (`owing`).
    """
    name = identity(settings)[0]
    async with contextlib.AsyncExitStack() as stack:
        asked = stack.enter_context(_signals())
        stack.enter_context(_in_words(settings.state_dir))
        kept = None if source is not None else await stack.enter_async_context(_books(settings, name, on_fault))
        journal = None if kept is None else kept.journal
        memo = None if source is None else stack.enter_context(_memo(settings, name, on_fault))
        opening = office(settings, on_fault, meanwhile=_import_worker, lasting=journal is not None)
        opened = structs.replace(await stack.enter_async_context(opening), journal=journal or memo)
        from supervisor.worker import Worker  # noqa: PLC0415 - a hundred modules, imported while the keeper starts

        found = source or source_of(settings, opened.client, name, on_fault)
        owing = None if kept is None else kept.owing(opened, on_fault)
        telling_s = None if memo is None else settings.graces.short_s
        worker = Worker(opened, settings, found, on_record, on_fault, outbox=owing, telling_s=telling_s)
        if kept is not None and owing is not None:
            upgrade = Upgrade(worker, kept.journal, opened, while_fd, settings, on_fault)
            stack.enter_context(_inheriting(worker, settings, kept, owing, upgrade))
        asked.pass_on_to(worker.drain)
        with _while(worker, while_fd), found_by(settings.state_dir, name, on_fault, has_tasks=bool(opened.held)):
            on_ready(name)
            await worker.run()
        _complain_of_refusal(worker)
        return worker.undelivered


@contextlib.contextmanager
def _inheriting(
    worker: "Worker", settings: Settings, kept: "Books", owing: "Outbox", upgrade: Upgrade
) -> Iterator[None]:
    """Take over what the worker before us left in the journal, and be ready to leave it to the one after us."""
    worker.adopt(kept.found.story, owing)
    if settings.journal.on_fault == "drain":
        kept.journal.on_trouble = worker.drain
        if kept.journal.troubled:
            worker.drain()
    with _upgrades(upgrade) if settings.worker.source != "stdin" else contextlib.nullcontext():
        yield


async def check(settings: Settings) -> Inheritance:
    """Try whether a worker could start, beside one that runs: what it could read of that one. Raises why it could not.

    Its settings have been read. What a keeper warns of does not keep it from serving.
    """
    _import_worker()
    import_module("supervisor.recovering")
    if settings.worker.source != "stdin" and settings.worker.token is None:
        raise NoTokenError(NO_TOKEN)
    await try_keeper(settings)
    return Inheritance.of(settings)


def _complain_of_refusal(worker: "Worker") -> None:
    if worker.refused is not None:
        hint = f"; {_WHERE}" if worker.refused.status in _NOT_LET_IN else ""
        raise NoWorkError(f"the server gives this worker no work: {worker.refused}{hint}")


def _import_worker() -> None:
    with uncollected():
        import_module("supervisor.worker")


def _books(
    settings: Settings, name: str, complain: Callable[[str], None]
) -> "contextlib.AbstractAsyncContextManager[Books | None]":
    from supervisor.recovering import books  # noqa: PLC0415 - `exec` has no use for it, and should start at once

    return books(settings, name, complain)


def source_of(settings: Settings, client: Client, name: str, complain: Callable[[str], None]) -> Source:
    """Give the source that the settings name."""
    if settings.worker.source == "stdin":
        return StdinSource(complain=complain)
    if settings.worker.token is None:
        raise NoTokenError(NO_TOKEN)
    request = ClaimRequest(
        worker=name,
        queues=list(settings.worker.queues),
        slots=1,
        wait_s=settings.worker.claim_wait_s,
    )
    return ClaimSource(client, settings.worker.token, request)


@contextlib.contextmanager
def _in_words(state_dir: Path) -> Iterator[None]:
    """Whatever the state directory refuses ends us with an error that says what to do about it."""
    try:
        yield
    except OSError as error:
        raise PlaceError(trouble(error, state_dir)) from error


class _Asked:
    """Whether somebody wants us to end, before there is a worker that could be told."""

    def __init__(self) -> None:
        self._already = False
        self._drain: Callable[[], None] | None = None

    def hear(self) -> None:
        """Somebody does."""
        self._already = True
        if self._drain is not None:
            self._drain()

    def pass_on_to(self, drain: Callable[[], None]) -> None:
        """From now on this is who is told, also of what was asked before."""
        self._drain = drain
        if self._already:
            drain()


@contextlib.contextmanager
def _signals() -> Iterator[_Asked]:
    """SIGTERM and SIGINT drain; a second one shortens patience, never accounting.

    From the beginning on: one that came while a keeper starts would end us without a word.
    """
    loop, asked = asyncio.get_running_loop(), _Asked()
    loop.set_default_executor(ThreadPoolExecutor(initializer=unsignalled))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.hear)
    hear_again(signal.SIGTERM, signal.SIGINT)
    try:
        yield asked
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _memo(settings: Settings, name: str, complain: Callable[[str], None]) -> "Iterator[Memo | None]":
    """Leave what is owed at the end. None where settings want no journal."""
    if not settings.journal.enabled:
        yield None
        return
    from supervisor.owing import Memo  # noqa: PLC0415 - only for `exec`

    memo = Memo(folder_of(settings.state_dir), name, settings.api.url)
    try:
        yield memo
    finally:
        try:
            left = memo.leave()
        except OSError as error:
            complain(
                f"what could not be told cannot be left to the next worker either: {trouble(error, settings.state_dir)}"
            )
        else:
            for file in left:
                complain(f"its outcome is in {file}; the next worker on {settings.state_dir} tells it (worker outbox)")


@contextlib.contextmanager
def _upgrades(upgrade: Upgrade) -> Iterator[None]:
    """SIGUSR1 has it become its successor."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, upgrade.ask)
    hear_again(signal.SIGUSR1)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # who asks one that is ending must not kill it
        upgrade.stop()


@contextlib.contextmanager
def _while(worker: "Worker", fd: int | None) -> Iterator[None]:
    if fd is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(fd)
        worker.drain()

    os.set_inheritable(fd, False)  # noqa: FBT003 - the standard library's own signature
    loop.add_reader(fd, ended)
    try:
        yield
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def announce(name: str, ready_fd: int | None, notify_socket: str | None) -> None:
    """Say that we are ready: to who gave us a fd, and to systemd where it asks."""
    if ready_fd is not None:
        with contextlib.suppress(OSError):
            os.write(ready_fd, f"ready {name}\n".encode())
            os.close(ready_fd)
    if notify_socket:
        address = "\0" + notify_socket[1:] if notify_socket.startswith("@") else notify_socket
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"READY=1", address)


# --- finding workers --------------------------------------------------------------------------------------------------


def _folder(state_dir: Path) -> Path:
    return state_dir / "workers"


@contextlib.contextmanager
def found_by(state_dir: Path, name: str, complain: Callable[[str], None], *, has_tasks: bool) -> Iterator[None]:
    """Leave a note of who we are: pid and start time, so that a later process with our pid is not taken for us.

    And since when: a successor has our pid and start time. `gap_s` is how long there was nobody before it. Who has
    tasks to look after already does so also where there is no room for a note.
    """
    note = _folder(state_dir) / f"{os.getpid()}.json"
    facts = {"name": name, "pid": os.getpid(), "started": start_time(os.getpid())}
    facts |= {"ready": time.monotonic(), "gap_s": arrived(state_dir)}
    fault = _leave(note, json.dumps(facts))
    later: asyncio.Task[None] | None = None
    if fault is not None and not has_tasks:
        raise fault
    if fault is not None:
        complain(f"{note.parent}: {fault.strerror}; no other command finds this worker until there is room")
        later = asyncio.get_running_loop().create_task(_leave_later(note, json.dumps(facts)))
    try:
        yield
    finally:
        if later is not None:
            later.cancel()
        note.unlink(missing_ok=True)
        forget(state_dir)


def _leave(note: Path, text: str) -> OSError | None:
    """Write it whole; give what kept us."""
    half = note.with_suffix(".half")
    try:
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        half.write_text(text)
        half.replace(note)
    except OSError as error:
        return error
    return None


async def _leave_later(note: Path, text: str) -> None:
    """Write it when there is room: a worker that nobody finds is still one whose tasks run."""
    while _leave(note, text) is not None:  # noqa: ASYNC110 - nobody tells of room on a disk
        await asyncio.sleep(AGAIN_S)


class Found(NamedTuple):
    """A worker of this machine that lives. The pidfd is the caller's to close, and cannot come to mean another."""

    name: str
    pid: int
    pidfd: int
    ready: float
    gap_s: float | None

    def ended(self, within_s: float) -> bool:
        """Wait for its end: whether it came."""
        return bool(select.select([self.pidfd], [], [], within_s)[0])


def workers(state_dir: Path) -> Iterator[Found]:
    """Give the workers of this state directory that live. A note whose worker is gone is removed."""
    for note in sorted(_folder(state_dir).glob("*.json")):
        pidfd = -1
        try:
            facts = json.loads(note.read_text())
            pidfd = os.pidfd_open(facts["pid"])
            if start_time(facts["pid"]) == facts["started"]:
                yield Found(facts["name"], facts["pid"], pidfd, facts["ready"], facts["gap_s"])
                continue
        except (OSError, ValueError, KeyError, GoneError):
            pass
        if pidfd >= 0:
            os.close(pidfd)
        note.unlink(missing_ok=True)


def unnoted(state_dir: Path, found: Sequence[Found]) -> str | None:
    """Say of a worker that has the state directory, and is not among these, how to ask it all the same."""
    held = holder(folder_of(state_dir))
    if held is None or held.pid in {each.pid for each in found}:
        return None
    return (
        f"worker {held.name} (pid {held.pid}) has {state_dir}, and no note there by which it could be asked: it begins "
        f"or ends, or its disk is full, or somebody removed the note. Ask again, or drain it with kill -TERM {held.pid}"
    )
