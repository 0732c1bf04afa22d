"""Who can be killed: a server, workers, their keepers and children. All are found by what they inherited."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, Self
from uuid import uuid4

from tests.architecture.layout import ROOT
from tests.server.http.live import Live, serving

LEASE_S = 4.0
MARK = "STORM_MARK"
PATIENCE_S = 60.0


class Seen(NamedTuple):
    """A process of the storm's."""

    pid: int
    parent: int
    keeper: bool
    """Runs the keeper's program: the keeper itself, or a child that was forked and did not exec."""


class Worker:
    """A worker that is started again on the directory of the one before it."""

    def __init__(self, storm: "Parties", name: str) -> None:
        self._storm = storm
        self.name = name
        self.home = storm.folder / name
        self.process: subprocess.Popen[bytes] | None = None
        self._ready: IO[bytes] = (storm.folder / "ledger").open("rb")

    def start(self) -> None:
        """Start it; it waits by itself for a server that is away."""
        mark = f"{self._storm.mark}.{self.name}"
        env = {**os.environ, "PYTHONPATH": str(ROOT), MARK: mark, "STORM_LEDGER": str(self._storm.ledger)}
        env |= {"TASKHAND_API_URL": f"{self._storm.url}/execution", "TASKHAND_WORKER_TOKEN": self._storm.token}
        env |= {"TASKHAND_KEEPER_PASS_ENV": f"PATH,HOME,PYTHONPATH,{MARK},STORM_LEDGER"}
        command = [sys.executable, "-m", "supervisor", "run", "--state-dir", str(self.home), "--slots", "6"]
        self._ready.close()
        reading, writing = os.pipe()
        self._ready = os.fdopen(reading, "rb")
        with (self._storm.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--ready-fd", str(writing)], pass_fds=[writing], env=env, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        os.close(writing)

    def until_ready(self) -> None:
        """Wait for its word."""
        assert self._ready.read(5) == b"ready", self.name

    def close(self) -> None:
        self._ready.close()

    def processes(self) -> list[Seen]:
        """Give all that came from it, and from the workers before it."""
        return [*marked(f"{self._storm.mark}.{self.name}")]

    def keepers(self) -> list[int]:
        seen = self.processes()
        keepers = {each.pid for each in seen if each.keeper}
        return [each.pid for each in seen if each.keeper and each.parent not in keepers]

    def children(self) -> list[int]:
        keepers = {*self.keepers()}
        return [each.pid for each in self.processes() if each.parent in keepers]

    def again(self) -> None:
        """Collect the one that ended, and start the next."""
        if self.process is not None:
            self.process.wait(PATIENCE_S)
        self.start()


def marked(mark: str) -> Iterator[Seen]:
    """Give the processes that inherited this mark."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
                yield Seen(int(entry.name), parent, b"supervisor.keeper" in (entry / "cmdline").read_bytes())


class Parties:
    """A server, and workers of which each has its directory."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.mark = uuid4().hex
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.token = ""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = str(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"
        self._serving = contextlib.ExitStack()
        self.live: Live
        self.workers = [Worker(self, f"worker{number}") for number in range(workers)]

    def __enter__(self) -> Self:
        self.serve()
        self.token = (self.live.home / "worker-token").read_text()
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            for seen in (*worker.processes(), *worker.processes()):  # a second look finds who was just being forked
                kill(seen.pid)
            if worker.process is not None:
                worker.process.wait(PATIENCE_S)
        for worker in self.workers:
            worker.close()
        self._serving.close()

    def serve(self) -> None:
        """Start the server, at the same address as the one before it."""
        self._serving.close()
        arguments = ("--lease", str(LEASE_S), "--port", self._port)
        self.live = self._serving.enter_context(serving(self.folder / "server", *arguments))

    def strike(self, chance: random.Random, *, server: bool = True) -> str:
        """After a moment kill somebody, start them again where nobody else would; gives what was done."""
        threading.Event().wait(chance.uniform(0.1, 0.6))
        blows = [blow for blow in BLOWS if server or blow is not server_killed]
        blow = chance.choices(blows, [BLOWS[each] for each in blows])[0]
        mortal = self.workers[1:] if blow in ENDS_A_WORKER else self.workers
        return blow(self, chance.choice(mortal), chance)

    @property
    def steady(self) -> Worker:
        """The one that is never killed itself."""
        return self.workers[0]


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def worker_killed(_: Parties, worker: Worker, __: random.Random) -> str:
    assert worker.process is not None
    kill(worker.process.pid)
    worker.again()
    return f"{worker.name}: the supervisor is killed"


def worker_drained(_: Parties, worker: Worker, __: random.Random) -> str:
    assert worker.process is not None
    kill(worker.process.pid, signal.SIGTERM)
    worker.again()
    return f"{worker.name}: it is asked to drain"


def keeper_killed(_: Parties, worker: Worker, __: random.Random) -> str:
    keepers = worker.keepers()
    for pid in keepers:
        kill(pid)
    return f"{worker.name}: keepers {keepers} are killed"


def child_killed(_: Parties, worker: Worker, chance: random.Random) -> str:
    children = worker.children()
    if children:
        kill(victim := chance.choice(children))
        return f"{worker.name}: child {victim} is killed"
    return f"{worker.name}: it had no child to kill"


def machine_killed(_: Parties, worker: Worker, __: random.Random) -> str:
    assert worker.process is not None
    for seen in (*worker.processes(), *worker.processes()):
        kill(seen.pid)
    worker.again()
    return f"{worker.name}: all of the machine is killed"


def both_killed(_: Parties, worker: Worker, __: random.Random) -> str:
    assert worker.process is not None
    for pid in (worker.process.pid, *worker.keepers()):
        kill(pid)
    worker.again()
    return f"{worker.name}: the supervisor and its keeper are killed"


def server_killed(parties: Parties, _: Worker, __: random.Random) -> str:
    parties.live.process.kill()
    parties.live.process.wait(PATIENCE_S)
    parties.serve()
    return "the server is killed"


Blow = Callable[[Parties, Worker, random.Random], str]
BLOWS: dict[Blow, int] = {
    worker_killed: 4,
    worker_drained: 2,
    keeper_killed: 2,
    child_killed: 6,
    machine_killed: 1,
    both_killed: 1,
    server_killed: 2,
}
"""What may happen, and how often beside the rest."""
ENDS_A_WORKER = frozenset({worker_killed, worker_drained, machine_killed, both_killed})
