"""What an attempt tells the server about itself: that it starts, that it lives, and how it ended.

Each call becomes one event for the lifecycle, whatever the server answers. A word that was given up to the server is
asked again until it is taken, known already, or refused: an outcome is never dropped because a server was away.
"""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Raw

from protocol.http.instances import TIEnterRunningPayload, TIHeartbeatInfo
from protocol.messages.checkpoints import StopReason
from protocol.messages.startup import TIRunContext
from protocol.values import encode_json
from supervisor import events as ev
from supervisor.api import BRIEFLY, ApiAway, ApiError, ApiRefused, AttemptApi
from supervisor.heartbeat import Word, meaning
from supervisor.keeper.children import Child
from supervisor.logs import AttemptLog
from supervisor.pages import GIVEN_UP, TOLD, Page
from supervisor.points import point
from supervisor.retrying import CONFLICTS, known_already
from supervisor.telling import Body

GONE = "server_terminated"
KEPT = "what it came to is in the worker's journal, and the next worker tries again (worker outbox)"
ABOUT_THE_TOKEN = frozenset({401, 403})
"""Refusals that say nothing about the outcome: it stays written down."""


class Reporter:
    """One attempt's way of telling."""

    def __init__(  # noqa: PLR0913 - what it tells with
        self,
        api: AttemptApi,
        log: AttemptLog,
        fire: Callable[[ev.Event], object],
        host: tuple[str, str],
        page: Page,
        *,
        extended: bool,
    ) -> None:
        self.context: TIRunContext | None = None
        """What the server said when it let the attempt run."""
        self.why = ""
        self._api = api
        self._log = log
        self._fire = fire
        self._hostname, self._unixname = host
        self._page = page
        self._extended = extended

    async def start(self, pid: int, lease_s: float, child: Child | None) -> None:
        """Ask whether it may run. Of one that has no process before it may, the pid is its worker's."""
        body = TIEnterRunningPayload(self._hostname, self._unixname, pid, datetime.now(UTC))
        try:
            worker = self._extended and (child is None or child.pid != pid)
            context, sent = await self._api.start(body, "worker" if worker else None)
        except ApiRefused as refused:
            self.why = str(refused)
            self._log.say("error", "the server refuses the start", why=self.why)
            self._fire(ev.Refused())
        else:
            self.context = context
            self._page.began(self._api.token.value, retries_left=context.should_retry)
            self._fire(ev.Granted(lease_s, context.should_retry, sent))

    async def beat(self, pid: int, within_s: float) -> None:
        """Say that it lives. Once: the next heartbeat is the second try."""
        try:
            stop, sent = await self._api.beat(TIHeartbeatInfo(self._hostname, pid), within_s)
        except ApiRefused as refused:
            self._log.say("warning", "a heartbeat was refused", why=str(refused))
            if meaning(refused.status, understood=True) is Word.REFUSED:
                self.why = str(refused)
                self._fire(ev.BeatRefused(_reason(refused.why.stop_reason)))
            else:
                self._fire(ev.BeatLost())
        except ApiAway as away:
            self._log.say("warning", "a heartbeat was not answered", why=str(away))
            self._fire(ev.BeatLost())
        else:
            self._page.renewed(self._api.token.value)
            self._fire(ev.BeatTaken(sent))
            if stop is not None:
                self._log.say("info", "the server asks for a stop", reason=stop)
                self._fire(ev.StopAsked(_reason(stop)))

    async def end(self, body: Body, row: str = "") -> ApiRefused | None:
        """Tell an end until it is answered. It is on the disk before the first byte of it leaves."""
        point("worker.end.heard")
        payload = encode_json(body)
        payload = await self._page.owed(body["state"], payload, self._api.token.value, row)
        return await self.deliver(body["state"], payload)

    async def deliver(self, state: str, payload: bytes) -> ApiRefused | None:
        """Tell what is written down. Whoever refuses it because it has it is told nothing more."""
        try:
            await self._api.end(Raw(payload))
            point("worker.end.told")
        except ApiRefused as refused:
            if not known_already(state, refused.why.previous_state, own=refused.own, extended=self._extended):
                self._log.say("error", "the server refuses the end", state=state, why=str(refused))
                self._refused(refused.status)
                return refused
        self._page.settled(TOLD)
        point("outcome.settled")
        self._fire(ev.Accepted())
        return None

    async def gone(self) -> None:
        """Tell a server of ours that nothing is left of what it gave up: its slot is free now, not a lease later.

        No outcome, and not written down: when it cannot be told, the end of the lease says the same.
        """
        with contextlib.suppress(ApiError):
            await self._api.end({"state": GONE, "end_date": datetime.now(UTC)}, BRIEFLY)

    def _refused(self, status: int) -> None:
        if status in CONFLICTS:
            self._page.settled(GIVEN_UP)
            self._fire(ev.Fenced())
            return
        final = status in ABOUT_THE_TOKEN
        if final:
            self._page.kept()
            self._log.say("error", "nothing can be told any more: the server takes our token no longer", kept=KEPT)
        else:
            self._page.withdrawn()
        self._fire(ev.Declined(final))


def _reason(word: str | None) -> StopReason:
    try:
        return StopReason(word or StopReason.FENCED)
    except ValueError:  # a reason that a newer server has
        return StopReason.FENCED
