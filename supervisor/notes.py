"""What people find about an attempt besides its outcome: our lines in its log, the log at the server, remarks.

A remark is a line of the attempt's timeline (`worker why`): for what somebody should see who does not read logs. It is
written in passing; nothing waits for it and nothing fails by it. Only a server of ours has timelines.
"""

import asyncio

from protocol.http.instances import REMARK_CAP, AttemptRemark
from supervisor.api import ApiError, AttemptApi
from supervisor.logs import AttemptLog
from supervisor.shipping import Shipper, Way

LOG_S = 5.0
"""How long the end of a log, and what is still on its way, may take."""


class Notes:
    """One attempt's."""

    def __init__(self, api: AttemptApi, log: AttemptLog, way: Way, *, extended: bool) -> None:
        self._api = api
        self._log = log
        self._way = way
        self._extended = extended
        self._shipper = Shipper(api, log.path)
        self._noted = False
        self._remarks: set[asyncio.Task[None]] = set()

    def line(self, level: str, event: str, **fields: object) -> None:
        """Put a line of ours into its log: one that is worth a request to the server."""
        self._noted = True
        self._log.say(level, event, **fields)

    def remark(self, event: str, why: str) -> None:
        """Have a line written into its timeline, and one into its log."""
        self.line("warning", event, why=why)
        if self._extended:
            task = asyncio.get_running_loop().create_task(self._remark(f"{event}: {why}"))
            self._remarks.add(task)
            task.add_done_callback(self._remarks.discard)

    async def ship(self, written: int | None = None) -> None:
        """Send the server what was added to the log. Where nobody said anything there is nothing to read."""
        totals = self._log.totals
        away = self._api.client.away_since is not None
        if self._extended and not away and (self._noted or totals.read_bytes):
            await self._shipper.ship(totals.written_bytes if written is None else written)
            self._way.tried(self._shipper.fault)

    async def close(self, *, begun: bool = True) -> None:
        """End the log, send the rest, and say where one should not look for it in vain.

        Of one that has not begun nothing is sent: its token is one to start with, and the server has said why not.
        """
        totals = await self._log.finish(LOG_S)
        if not begun:
            return
        await self.ship(totals.written_bytes)
        if totals.lost_lines:
            self.remark("its log is not whole", f"{totals.lost_lines} lines could not be written: {totals.fault}")
        if self._shipper.fault is not None:
            self.remark("its log is not at the server", f"{self._shipper.fault}; it is here: {self._log.path}")
        if self._remarks:
            await asyncio.wait(self._remarks, timeout=LOG_S)
        for task in self._remarks:
            task.cancel()

    async def _remark(self, why: str) -> None:
        try:
            await self._api.remark(AttemptRemark(why[:REMARK_CAP]))
        except ApiError as error:
            self._log.say("warning", "a remark did not reach the timeline", why=str(error))
