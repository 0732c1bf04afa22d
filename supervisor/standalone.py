"""Several programs as one: each is started when the one before it is ready, and they are stopped in reverse.

Readiness is said on a pipe, never guessed. Each program has a session of its own, so that Ctrl-C reaches us alone and
the order of stopping is ours: a worker that can no longer reach its server could not report what it had.

The order holds even when we are killed and can say nothing any more. Each program ends when the pipe that it was given
does (`--while-fd`), and whoever holds the other end of that pipe needs the program: we, and those started after it. So
the worker drains and reports, and the server, which it holds, ends after it.

A program may have been asked to end by somebody else: `worker drain` asks the worker itself. Of a part that may be
asked so (`done`), an end with 0 says that it did what it was asked: then the others are stopped, and nothing has
failed.
"""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

READY_S = 60.0
READY = "ready"
"""What is told when all are."""
DRAINED = "the worker was drained and has ended; the server is stopped too"


class Part(Struct, frozen=True):
    """One program: what to call it, and its command without the flag for readiness."""

    name: str
    argv: tuple[str, ...]
    stop_s: float = 40.0
    """How long it may take to end after SIGTERM; its own graces fit into it."""
    done: str | None = None
    """What is told when it ends with 0, asked by somebody else; None where nobody else has a reason to ask."""


class PartFailed(Exception):
    """A program that did not come up, or ended when nobody asked it to."""


class Standalone:
    """The programs. `run` comes back when they have been stopped, or raises when one failed."""

    def __init__(self, parts: Sequence[Part], tell: Callable[[str], None], ready_s: float = READY_S) -> None:
        self._parts = parts
        self._tell = tell
        self._ready_s = ready_s
        self._running: list[tuple[Part, Process]] = []
        self._held: list[int] = []
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Start all, wait for a stop or a failure, stop all."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        try:
            for part in self._parts:
                await self._start(part)
                if self._stopping.is_set():
                    return
            self._tell(READY)
            await self._watch()
        finally:
            await self._stop_all()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Stop all, in reverse. Again: hurry the one that is being stopped."""
        if self._stopping.is_set() and self._running:
            _signal(self._running[-1][1], signal.SIGTERM)
        self._stopping.set()

    async def _start(self, part: Part) -> None:
        (reading, writing), (alive, held) = os.pipe(), os.pipe()
        flags = ("--ready-fd", str(writing), "--while-fd", str(alive))
        try:
            process = await asyncio.create_subprocess_exec(
                *part.argv, *flags, pass_fds=(writing, alive, *self._held), start_new_session=True
            )
        except OSError as error:
            os.close(reading)
            raise PartFailed(f"{part.name} could not be started: {error}") from error
        finally:
            os.close(writing)
            os.close(alive)
            self._held.append(held)
        self._running.append((part, process))
        if not await self._said(reading):
            code = await _ended(process)
            why = f"ended with {code}" if code is not None else f"was not ready within {self._ready_s:g} s"
            raise PartFailed(f"{part.name} {why}")

    async def _said(self, reading: int) -> bool:
        """Wait for a byte on the pipe: whether one came before its end. A stop ends the wait as well."""
        reader = asyncio.StreamReader()
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), pipe
            )
            said = asyncio.ensure_future(reader.read(1))
            stop = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait({said, stop}, timeout=self._ready_s, return_when=asyncio.FIRST_COMPLETED)
            found = self._stopping.is_set() or (said.done() and bool(said.result()))
            said.cancel()
            stop.cancel()
            transport.close()
        return found

    async def _watch(self) -> None:
        waits = {asyncio.ensure_future(process.wait()): part for part, process in self._running}
        stop = asyncio.ensure_future(self._stopping.wait())
        done, _ = await asyncio.wait({*waits, stop}, return_when=asyncio.FIRST_COMPLETED)
        for each in (*waits, stop):
            each.cancel()
        if self._stopping.is_set():
            return
        ended = [(part, each.result()) for each, part in waits.items() if each in done]
        for part, code in ended:
            if code or part.done is None:
                raise PartFailed(f"{part.name} ended with {code} although nobody asked it to")
        for part, _ in ended:
            self._tell(f"{part.done}")

    async def _stop_all(self) -> None:
        self._stopping.set()
        while self._running:
            part, process = self._running[-1]
            _signal(process, signal.SIGTERM)
            try:
                async with asyncio.timeout(part.stop_s):
                    await process.wait()
            except TimeoutError:
                self._tell(f"{part.name} did not end within {part.stop_s:g} s and is killed")
                _signal(process, signal.SIGKILL)
                await process.wait()
            self._running.pop()
        while self._held:
            os.close(self._held.pop())


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


async def _ended(process: Process) -> int | None:
    """Give the code of a process that closed its pipe, if that was because it ended."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            return await process.wait()
    return None


def parts_of(python: str, state_dir: Path, port: int, worker: Sequence[str]) -> list[Part]:
    """Give a machine's server and worker. The worker finds URL and token where the server has left them."""
    program = (python, "-m", "supervisor")
    home = str(state_dir)
    return [
        Part("server", (*program, "server", "--home", home, "--port", str(port))),
        Part("worker", (*program, "run", "--state-dir", home, *worker), done=DRAINED),
    ]
