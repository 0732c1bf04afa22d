"""The drivers' conversation, one JSON object a line."""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Work(NamedTuple):
    """What a driver can do."""

    prepare: Callable[[int], Any]
    """Give what so many no-op jobs need, ready to be handed out."""
    go: Callable[[Any], None]
    """Hand it out, and come back when each is known to have ended well."""
    sleep: Callable[[int], None]
    """Hand out so many jobs that leave a file and sleep; do not wait."""


def take_stdout() -> int:
    """Give our words a fd of their own, because what is measured prints too; that goes to stderr from here on."""
    voice = os.dup(1)
    os.dup2(2, 1)
    return voice


def serve(voice: int, pid: int, work: Work) -> None:
    """Do what is asked, until nothing more is."""

    def say(**words: object) -> None:
        os.write(voice, json.dumps(words).encode() + b"\n")

    say(pid=pid)
    prepared: Any = None
    for line in sys.stdin:
        match json.loads(line):
            case {"do": "prepare", "count": int(count)}:
                prepared = work.prepare(count)
                say()
            case {"do": "go"}:
                began = time.perf_counter()
                work.go(prepared)
                say(wall=time.perf_counter() - began)
            case {"do": "sleep", "count": int(count)}:
                work.sleep(count)
                say()
