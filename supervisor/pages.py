"""What one attempt leaves for who comes after its supervisor: in the journal, and on its slate.

Without a journal (`worker exec`) nothing is left, because nobody comes. But the tenure is noted there too: the keeper
is to end a child whose supervisor was stopped itself, or hangs, before its lease ends and another may begin
elsewhere.

Little is written of an attempt whose end is told at once: that it began, its outcome, and that it is settled. Only the
outcome waits for the disk; the others ride along. So an attempt that has just begun may not be in the journal when its
worker is killed. Nothing of it was promised yet, and its lease at the server ends by itself.
"""

import os
import time
from collections.abc import Collection

import msgspec
from msgspec import Struct

from supervisor.adopting import Facts, alone_until, inscription, is_worth_remembering, remembered
from supervisor.journal import Began, Entry, Owed, Renewed, Saved, Settled, Spawned, Withdrawn
from supervisor.journal_writer import Notebook
from supervisor.keeper.children import Child
from supervisor.lifecycle import Lifecycle
from supervisor.points import point
from supervisor.slate import Part, Slate

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

    def __init__(self, journal: Notebook | None, ti: bytes, title: Title | None = None) -> None:
        self._journal = journal
        self._ti = ti
        self._title = title
        self._child = (0, 0)
        self._token = ""
        self._open = False
        self._written: Owed | None = None
        self._slate: Slate | None = None
        self._hidden = 0

    @classmethod
    def found(cls, journal: Notebook, entry: Entry, title: Title | None = None) -> "Page":
        """Go on with the page of an attempt whose worker was killed."""
        page = cls(journal, entry.ti, title)
        page._open = True
        page._token = entry.token or ""
        page._written = entry.owed
        return page

    def adopted(self, child: Child, slate: Slate, token: str) -> None:
        """Go on with the slate of one that still runs."""
        self._slate, self._token = slate, token
        self._child = child.pid, child.start_time

    def prepare(self, facts: Facts, core: Lifecycle) -> int:
        """Make the slate of a process to come, with all on it that makes it known: a fd of it, to give away.

        Before there is a process: from its first instruction on, who finds it can go on with it.
        """
        slate = self._slate = Slate()
        if self._journal is not None:
            slate.inscribe(Part.FACTS, inscription(facts))
            self._note_token()  # of one that the server let run before there is a process
        self.remember(core)
        return os.dup(slate.fd)

    def spawned(self, child: Child) -> Slate:
        """There is a process; give its slate."""
        point("child.spawned")
        slate = self._slate
        assert slate is not None  # noqa: S101 - it was prepared
        if child.slate_fd != slate.fd:
            os.close(child.slate_fd)
            child.slate_fd = slate.fd
        self._child = child.pid, child.start_time
        if self._journal is not None and self._open:  # one that cannot wait is started after it was let run
            self._journal.append(Spawned(self._ti, *self._child))
        return slate

    def close(self) -> None:
        """Let go of the slate."""
        if self._slate is not None:
            self._slate.close()
            self._slate = None

    def resumed(self, retries_left: bool, token: str) -> None:  # noqa: FBT001 - as the record has it
        """It runs, and may have begun so shortly before its worker was killed that this was not written down."""
        if not self._open:
            self.began(token, retries_left=retries_left)

    def began(self, token: str, *, retries_left: bool) -> None:
        """The server lets it run."""
        journal, title = self._journal, self._title
        if journal is None or title is None:
            return
        self._open, self._token = True, token
        self._note_token()
        journal.append(
            Began(
                ti=self._ti,
                session=journal.opened.session,
                name=title.name,
                try_number=title.try_number,
                token=token,
                retries_left=retries_left,
                extended=title.extended,
                log=title.log,
                checkpoints=title.checkpoints,
                pid=self._child[0],
                started=self._child[1],
                at=time.time(),
            )
        )

    def remember(self, core: Lifecycle) -> None:
        """Note what the core knows, before it is acted on. How the process ended, its keeper tells whoever asks."""
        if self._slate is None or not is_worth_remembering(core):
            return
        until = alone_until(core)
        if until is not None:
            self._slate.hold(*until)
        if self._journal is not None:
            self._slate.remember(remembered(core))

    def hides(self, secrets: Collection[str]) -> None:
        """Note what is masked in the log."""
        if self._slate is not None and len(secrets) != self._hidden:
            self._hidden = len(secrets)
            self._slate.inscribe(Part.SECRETS, msgspec.msgpack.encode([*secrets]))

    def hidden(self) -> list[str]:
        """Give what was masked by the supervisor before us."""
        noted = b"" if self._slate is None else self._slate.part(Part.SECRETS)
        return msgspec.msgpack.decode(noted, type=list[str]) if noted else []

    def _note_token(self) -> None:
        if self._slate is not None:
            self._slate.inscribe(Part.TOKEN, self._token.encode())

    def saved(self) -> None:
        """There is a checkpoint to resume from."""
        if self._journal is not None and self._open:
            self._journal.append(Saved(self._ti))

    def renewed(self, token: str) -> None:
        """The token may be another one now."""
        if self._journal is not None and self._open and token != self._token:
            self._token = token
            self._note_token()
            self._journal.append(Renewed(self._ti, token))

    async def owed(self, state: str, body: bytes, token: str, row: str = "") -> bytes:
        """Write the outcome down, and come back when it is on the disk, or when it is known that it cannot be.

        Gives what is to be told: the very bytes of a worker before us, where it had written down the same.
        """
        before, self._written = self._written, None
        if before is not None and (before.state, before.row) == (state, row):
            return before.body
        if self._journal is None or not self._open:
            return body
        fresh = None if token == self._token else token
        self._token = token
        await self._journal.commit(Owed(self._ti, state, body, row, fresh, time.time()))
        point("outcome.durable")
        return body

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
