"""What the last worker of this state directory still owed: found, judged, delivered. The outbox.

An attempt with an outcome has it delivered at once, byte for byte as it was written down. One without has lost its
worker while it ran: first nothing of it may be left (`leftovers`), then the truth table says what it came to, and that
is written down and delivered like any other. Nothing is run again here; that is the server's to decide.

A delivery ends when the server takes the outcome, knows it already, or has given the attempt up. A token that is no
longer good ends nothing: the outcome stays in the journal, and the next worker tries again.
"""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from msgspec import structs

from supervisor import events as ev
from supervisor import telling
from supervisor.answers.checkpoints import on_record
from supervisor.api import ApiRefused, AttemptApi
from supervisor.folders import LEVELS, clear
from supervisor.folders import Folder as CheckpointFolder
from supervisor.journal import Entry, Opened, Saved, Story, judge
from supervisor.journal_files import Folder, Found, JournalError, folder_of, lock, read
from supervisor.journal_writer import Journal
from supervisor.keeper import doors
from supervisor.keeper.identity import start_time
from supervisor.leftovers import boot_id, sweep
from supervisor.notes import Notes
from supervisor.orders import Office
from supervisor.pages import Page
from supervisor.reporting import ABOUT_THE_TOKEN, Reporter
from supervisor.retrying import CONFLICTS, UNTIL_ANSWERED
from supervisor.settings import Settings, doors_of
from supervisor.shipping import Shipper

AT_ONCE = 32
LOG_S = 5.0
WHY = "the worker was killed, and nobody saw how the task ended"


class Outbox:
    """What was owed when this worker opened the journal. `left` counts down while `deliver` runs."""

    def __init__(
        self,
        office: Office,
        journal: Journal,
        story: Story,
        complain: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._entries = [structs.replace(entry) for entry in story.entries.values()]
        self._sessions = dict(story.sessions)
        self.left = len(self._entries)
        self._office = office
        self._journal = journal
        self._complain = complain
        self.clear = asyncio.Event()
        """Nothing is left of those that were not adopted. Before that, work begun anew could run beside itself."""
        self._spared: list[int] = []
        self._blamed: dict[bytes, str] = {}
        self._limit = asyncio.Semaphore(AT_ONCE)

    def spare(self, attempts: Container[bytes], processes: list[int], blamed: Mapping[bytes, str]) -> None:
        """Leave these attempts to others: they run on, and neither they nor their keepers must be swept away.

        Of those that are `blamed` it is known why nobody can go on with them.
        """
        self._blamed = dict(blamed)
        self._entries = [entry for entry in self._entries if entry.ti not in attempts]
        self.left = len(self._entries)
        self._spared = processes

    async def deliver(self, tmp_root: Path) -> None:
        """Deliver all. What is known goes first; the lost ones wait until nothing of them is left."""
        mine = self._journal.opened
        entries = [entry for entry in self._entries if self._is_ours(entry)]
        said = [entry for entry in entries if entry.owed is not None]
        silent = [entry for entry in entries if entry.owed is None]
        if entries:
            self._complain(f"the last worker owed {len(said)} outcomes, and {len(silent)} attempts ran when it ended")
        sweeping = asyncio.ensure_future(
            sweep(
                [each for each in self._sessions.values() if (each.pid, each.started) != (mine.pid, mine.started)],
                [entry.process for entry in entries if entry.process is not None],
                tmp_root,
                spared=self._spared,
            )
        )
        sweeping.add_done_callback(lambda _: self.clear.set())
        try:
            await asyncio.gather(*map(self._one, said))
            swept = await sweeping
            if swept.killed:
                self._complain(f"{swept.killed} processes of the last worker would not end and were killed")
            await asyncio.gather(*map(self._one, silent))
        finally:
            sweeping.cancel()

    def _is_ours(self, entry: Entry) -> bool:
        """Whether it can be told, to this server. A token is shown to nobody but whom it is for."""
        name = str(UUID(bytes=entry.ti))
        if entry.began is None or entry.token is None:
            self._complain(f"attempt {name} cannot be told of: its beginning is damaged in the journal")
            return False
        session = self._sessions.get(entry.began.session)
        here, there = self._journal.opened.url, here_or(session, self._journal.opened)
        if urlsplit(here).hostname != urlsplit(there).hostname:
            self._complain(f"attempt {name} is owed to {there}, not to {here}: it stays in the journal")
            return False
        return True

    async def _one(self, entry: Entry) -> None:
        async with self._limit:
            try:
                why = self._blamed.get(entry.ti, WHY)
                delivery = Delivery(self._office, self._journal, entry, self._complain, why=why, swept=self.clear.wait)
                told = await delivery.make()
            except Exception as error:  # noqa: BLE001 - a fault of ours in one delivery is not to end the others
                self._complain(f"attempt {UUID(bytes=entry.ti)}: {type(error).__name__}: {error}")
            else:
                self.left -= told


def here_or(session: Opened | None, current: Opened) -> str:
    """Give the server of the session that made an attempt; of the current one, where that record is damaged."""
    return current.url if session is None else session.url


class Delivery:
    """One attempt's."""

    def __init__(  # noqa: PLR0913 - what it tells, with what, and whom
        self,
        office: Office,
        journal: Journal,
        entry: Entry,
        complain: Callable[[str], None],
        *,
        why: str,
        swept: Callable[[], Awaitable[object]],
    ) -> None:
        self._why = why
        self._swept = swept
        began, token = entry.began, entry.token
        assert began is not None  # noqa: S101 - others are not delivered
        assert token is not None  # noqa: S101 - as above
        self._entry = entry
        self._began = began
        self._complain = complain
        self.ti_id = UUID(bytes=entry.ti)
        self.extended = began.extended
        self.api = AttemptApi(office.client, self.ti_id, token, UNTIL_ANSWERED)
        self._page = Page.found(journal, entry)
        self._log = office.logs.open(Path(began.log))
        notes = Notes(self.api, self._log, office.way, extended=False)  # lines in its log alone
        self._folder = None if began.checkpoints is None else CheckpointFolder.found(Path(began.checkpoints), notes)
        self._reporter = Reporter(self.api, self._log, self._hear, office.host, self._page, extended=began.extended)

    async def make(self) -> bool:
        """Deliver it, and say so in its log: whether nothing is owed any more."""
        try:
            owed = self._entry.owed
            refused = None if owed is None else await self._reporter.deliver(owed.state, owed.body)
            if owed is not None:
                row = owed.row or judge(self._entry, checkpoint=False).row
                self._note("told after its worker was killed", owed.state, row, refused)
            if owed is None or (refused is not None and refused.status not in ABOUT_THE_TOKEN | CONFLICTS):
                refused = await self._lost()
            if refused is not None and refused.status in CONFLICTS and self._began.extended:
                await self._swept()
                await self._reporter.gone()
            if refused is not None and refused.status in ABOUT_THE_TOKEN:
                self._complain(f"attempt {self.api.ti_id}: {refused}; its outcome stays in the journal")
                return False
            self._page.over()
            return True
        finally:
            await self._end()

    async def _lost(self) -> ApiRefused | None:
        """Say what it came to without a word of its own."""
        entry = self._entry
        entry.owed = None
        if self._folder is not None:
            await self._folder.keep(self)  # what a program had renamed when its machine died counts like what was saved
        found = judge(entry, checkpoint=entry.saved is not None or await self._on_record())
        body = telling.verdict(found, datetime.now(UTC), why=self._why, reason=None, extended=self._began.extended)
        refused = await self._reporter.end(body, found.row)
        self._note(self._why, body["state"], found.row, refused)
        return refused

    async def _on_record(self) -> bool:
        """Ask the server: a save may be acknowledged a moment before the journal has its line."""
        try:
            return await on_record(self.api, extended=self._began.extended)
        except ApiRefused:  # whoever may not ask may not tell either, and is answered there
            return False

    def saved(self) -> None:
        """Note that there is a checkpoint to resume from."""
        self._entry.saved = Saved(self._entry.ti)

    def stop_request(self) -> None:
        """Give no stop: nothing runs any more."""

    def _hear(self, event: ev.Event) -> None:
        """What the core of a living attempt would hear; there is none here."""

    def _note(self, what: str, state: str, row: str, refused: ApiRefused | None) -> None:
        self._log.say("warning", what, state=state, row=row, told=refused is None)

    async def _end(self) -> None:
        if self._folder is not None:
            await self._folder.forget(goes_on=True)
        elif self._began.checkpoints is not None:
            await asyncio.to_thread(shutil.rmtree, self._began.checkpoints, ignore_errors=True)
            clear(Path(self._began.checkpoints).parent, LEVELS)
        totals = await self._log.finish(LOG_S)
        if self._began.extended:
            file = Path(self._began.log)
            with contextlib.suppress(OSError):
                size = await asyncio.to_thread(lambda: file.stat().st_size)
                await Shipper(self.api, file).ship(max(totals.written_bytes, size))


class Books(NamedTuple):
    """An open journal, and what was in it."""

    journal: Journal
    found: Found

    def owing(self, office: Office, complain: Callable[[str], None]) -> Outbox:
        """Give what the last worker left, to deliver."""
        return Outbox(office, self.journal, self.found.story, complain)


@contextlib.asynccontextmanager
async def books(settings: Settings, name: str, complain: Callable[[str], None]) -> AsyncIterator["Books | None"]:
    """Open the journal, and give it with what was in it. None where settings want none. Raises JournalError."""
    if not settings.journal.enabled:
        yield None
        return
    folder = folder_of(settings.state_dir)
    fd = await asyncio.to_thread(lock, folder, name)
    try:
        found = await asyncio.to_thread(read, folder)
        for damage in found.damage:
            complain(f"the journal is damaged: {damage}")
        journal = _journal(settings, name, found, complain)
        try:
            await asyncio.to_thread(journal.begin)
        except JournalError as error:
            if settings.journal.on_fault == "drain" and not doors.found(doors_of(settings)):
                raise
            complain(f"{error}; outcomes are told without it")
        else:
            for file in found.left:  # what it says is in the journal now, and on the disk
                file.unlink(missing_ok=True)
        try:
            yield Books(journal, found)
        finally:
            await journal.stop()
    finally:
        os.close(fd)


def _journal(settings: Settings, name: str, found: Found, complain: Callable[[str], None]) -> Journal:
    me = os.getpid()
    session = max(found.story.sessions, default=0) + 1
    opened = Opened(session, name, me, start_time(me), boot_id(), settings.api.url, time.time())
    return Journal(Folder(folder_of(settings.state_dir)), found, opened, settings.journal.segment_bytes, complain)
