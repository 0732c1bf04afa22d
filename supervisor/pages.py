"""What one attempt writes into the journal, and when. Without a journal (`worker exec`) it writes nothing.

Little is written of an attempt whose end is told at once: that it began, its outcome, and that it is settled. Only the
outcome waits for the disk; the others ride along. So an attempt that has just begun may not be in the journal when its
worker is killed. Nothing of it was promised yet, and its lease at the server ends by itself.
"""

import time

from msgspec import Struct

from protocol.messages.startup import TIRunContext
from supervisor.journal import Began, Entry, Owed, Renewed, Saved, Settled, Spawned, Withdrawn
from supervisor.journal_writer import Journal
from supervisor.keeper.children import Child
from supervisor.points import point

TOLD, GIVEN_UP, UNWANTED = "told", "given up by the server", "of no interest to the server"


class Title(Struct, frozen=True):
    """What stands at the head of a page."""

    name: str
    try_number: int
    extended: bool
    log: str
    checkpoints: str | None


class Page:
    """One attempt's page."""

    def __init__(self, journal: Journal | None, ti: bytes, title: Title | None = None) -> None:
        self._journal = journal
        self._ti = ti
        self._title = title
        self._child = (0, 0)
        self._token = ""
        self._open = False

    @classmethod
    def found(cls, journal: Journal, entry: Entry) -> "Page":
        """Go on with the page of an attempt whose worker was killed."""
        page = cls(journal, entry.ti)
        page._open = True
        page._token = entry.token or ""
        return page

    def spawned(self, child: Child) -> None:
        """There is a process."""
        if self._journal is not None:
            self._child = child.pid, child.start_time
            if self._open:
                self._journal.append(Spawned(self._ti, *self._child))

    def began(self, context: TIRunContext, token: str) -> None:
        """The server lets it run."""
        journal, title = self._journal, self._title
        if journal is None or title is None:
            return
        self._open, self._token = True, token
        journal.append(
            Began(
                ti=self._ti,
                session=journal.opened.session,
                name=title.name,
                try_number=title.try_number,
                token=token,
                retries_left=context.should_retry,
                extended=title.extended,
                log=title.log,
                checkpoints=title.checkpoints,
                pid=self._child[0],
                started=self._child[1],
                at=time.time(),
            )
        )

    def saved(self) -> None:
        """There is a checkpoint to resume from."""
        if self._journal is not None and self._open:
            self._journal.append(Saved(self._ti))

    def renewed(self, token: str) -> None:
        """The token may be another one now."""
        if self._journal is not None and self._open and token != self._token:
            self._token = token
            self._journal.append(Renewed(self._ti, token))

    async def owed(self, state: str, body: bytes, token: str, row: str = "") -> None:
        """Write the outcome down, and come back when it is on the disk, or when it is known that it cannot be."""
        if self._journal is None or not self._open:
            return
        fresh = None if token == self._token else token
        self._token = token
        await self._journal.commit(Owed(self._ti, state, body, row, fresh, time.time()))
        point("outcome.durable")

    def withdrawn(self) -> None:
        """The server cannot take it."""
        if self._journal is not None and self._open:
            self._journal.append(Withdrawn(self._ti))

    def kept(self) -> None:
        """It cannot be told for now, and is owed by whoever opens this journal next."""
        self._open = False

    def settled(self, how: str) -> None:
        """Nothing is owed any more. Twice is fine: the first word stands."""
        if self._journal is not None and self._open:
            self._open = False
            self._journal.append(Settled(self._ti, how))

    def over(self) -> None:
        """The attempt is over. Nothing, where it was told; where the server did not want to hear, nothing is owed."""
        self.settled(UNWANTED)
