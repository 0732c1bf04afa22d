"""Programs of ours on this machine, in a folder of their own: started, asked, and ended whatever happens."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from supervisor.settings import secluded

Process = subprocess.Popen[bytes]

READY_S = 60.0
STOP_S = 40.0
WAIT_S = 90.0


class ProgramFailed(Exception):
    """A program that did not come up, or a call that was refused."""


class Programs:
    """The programs of one folder. They are ended in reverse order when this is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = secluded(folder)
        self._started: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        while self._started:
            _stop(self._started.pop())

    def start(self, name: str, *arguments: str) -> Process:
        """Start `worker NAME …`, and wait until it says that it is ready."""
        reading, writing = os.pipe()
        log = self.folder / f"{name}-{len(self._started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - the arguments are the caller's own
                [sys.executable, "-m", "supervisor", name, *arguments, "--ready-fd", str(writing)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[writing],
            )
        self._started.append(process)
        os.close(writing)
        said = select.select([reading], [], [], READY_S)[0] and os.read(reading, 1)
        os.close(reading)
        if not said:
            raise ProgramFailed(f"worker {name} did not come up: {log.read_text()[-2000:]}")
        return process

    def call(self, *arguments: str) -> dict[str, Any]:
        """Call `worker …`, and give the object that it prints."""
        done = subprocess.run(  # noqa: S603 - as above
            [sys.executable, "-m", "supervisor", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        if not done.stdout:
            raise ProgramFailed(f"worker {' '.join(arguments)}: {done.stderr.strip()}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer


def until(come: Callable[[], bool], otherwise: str) -> None:
    """Look again and again: who watches from outside is told of no step."""
    for _ in range(int(WAIT_S / 0.05)):
        if come():
            return
        select.select([], [], [], 0.05)
    raise ProgramFailed(otherwise)


def _stop(process: Process) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
