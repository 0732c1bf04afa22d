"""The attempts' logs, on their way to a server of ours: so that people read them where they look for everything else.

A log is a file here first, and what the server has is a prefix of it. What was added is sent from time to time while
the attempt runs, and the rest at its end, each part with the offset it begins at; so a part that is sent again, after
an answer that was lost or by another worker, adds nothing. A log that cannot be sent is still here.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from protocol.http.errors import Refusal
from supervisor.api import ApiError, ApiRefused, AttemptApi
from supervisor.paths import path, query
from supervisor.retrying import RetryPolicy

PART = 1024 * 1024
EVERY_S = 2.0
PATIENCE = RetryPolicy(tries=2, patience_s=5.0, in_line_s=5.0)
GAP = "log_gap"


class Way:
    """Whether logs reach the server, for a whole worker: said when they begin not to, and when they do again."""

    def __init__(self, complain: Callable[[str], None] = lambda _: None) -> None:
        self._complain = complain
        self._blocked = False

    def tried(self, fault: str | None) -> None:
        """Hear how it went."""
        if (fault is not None) != self._blocked:
            self._blocked = fault is not None
            here = "logs stay on this machine until it takes them"
            self._complain(f"the server takes no log: {fault}; {here}" if fault else "the server takes logs again")


class Shipper:
    """One attempt's log on its way."""

    def __init__(self, api: AttemptApi, file: Path) -> None:
        self.sent = 0
        """How much of it the server has."""
        self.fault: str | None = None
        self._api = api
        self._file = file
        self._target = path("task-instances", api.ti_id, "log")
        self._lock = asyncio.Lock()

    async def ship(self, written: int) -> None:
        """Send what was written since. A fault is kept, and the next call tries again from where this one stopped."""
        async with self._lock:
            self.fault = None
            while self.sent < written and self.fault is None:
                part = await asyncio.to_thread(_part, self._file, self.sent)
                if not part:
                    return
                await self._send(part)

    async def _send(self, part: bytes) -> None:
        try:
            await self._api.upload(self._target + query(offset=self.sent), part, PATIENCE)
        except ApiRefused as refused:
            expected = _expected(refused.why, refused.detail)
            if expected is None or expected == self.sent:
                self.fault = str(refused)
            else:
                self.sent = expected
        except ApiError as error:
            self.fault = str(error)
        else:
            self.sent += len(part)


def _expected(why: Refusal, detail: object) -> int | None:
    if why.reason == GAP and isinstance(detail, dict) and isinstance(detail.get("expected"), int):
        return int(detail["expected"])
    return None


def _part(file: Path, offset: int) -> bytes:
    try:
        with file.open("rb") as content:
            content.seek(offset)
            return content.read(PART)
    except OSError:
        return b""
