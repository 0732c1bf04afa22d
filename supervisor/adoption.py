"""Adoption: the attempts of a supervisor that is no more, taken over while they run. The shell around `adopting`.

First all that a keeper holds is looked at, with what the journal says of it. Each child is then watched again, its
outcome left to the outbox, or, where nobody knows what it is, killed. An attempt that is adopted is one like any other;
only its beginning is another: it goes on from what stands on its slate.
"""

import os
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit
from uuid import UUID

from msgspec import Struct, structs

from protocol.messages.control import ErrorResponse
from protocol.messages.shape import Message
from protocol.states import TaskInstanceState
from supervisor import events as ev
from supervisor import runtimes
from supervisor.adopting import Fate, Left, fate, read, recall
from supervisor.attempt import Attempt
from supervisor.journal import Entry, Story
from supervisor.journal_writer import Notebook
from supervisor.keeper.children import Child
from supervisor.keeper.link import Scope
from supervisor.machines import Child as Place
from supervisor.machines import Lease, Report
from supervisor.orders import Office, order_from, title_of
from supervisor.pages import TOLD, Page
from supervisor.points import point
from supervisor.settings import Settings
from supervisor.slate import VERSION, Part, Slate, version_of
from supervisor.stopping import KILL


class AnotherVersionError(ValueError):
    """There are children whose slates another version of this code has written, and what to do about it."""


class Adopted(Struct):
    """What came of it. `known` names those of whom a keeper knows, so that nobody takes them for lost."""

    attempts: list[Attempt] = []
    known: set[bytes] = set()
    blamed: dict[bytes, str] = {}
    """Why others could not be adopted."""
    pids: list[int] = []
    """Of the children: their keeper may die before what is left of others has been swept away."""


class AdoptedAttempt(Attempt):
    """An attempt that another supervisor has begun."""

    def __init__(self, office: Office, settings: Settings, found: "Found", page: Page) -> None:
        left, child, slate = found.left, found.child, found.slate
        assert left is not None  # noqa: S101 - others are not adopted
        assert slate is not None  # noqa: S101 - as above
        order = order_from(left.facts, settings)
        token = slate.part(Part.TOKEN).decode() or order.workload.token
        order = structs.replace(order, workload=structs.replace(order.workload, token=token))
        super().__init__(office, order, page)
        self._found = found
        self._told_pid = child.pid if order.policy.talks else left.facts.pid
        self._core = recall(left, order.workload.ti.id.bytes)
        self._child = child
        self._began = left.facts.began
        self._plan = runtimes.plan(order.runtime, order.task, _command(order.workload.command))
        self._acknowledge: TaskInstanceState | None = None
        self._questions = slate.unanswered()
        page.adopted(child, slate, token)
        for secret in page.hidden():
            self._log.masker.add(secret)
        if self._folder is not None:
            self._folder.resume(self.ti_id, left.facts.inputs)

    @property
    def _pid(self) -> int:
        return self._told_pid

    def _begin(self) -> None:
        """Go on: ask again what may not have been answered, hear again what was not."""
        child, slate, core = self._found.child, self._found.slate, self._core
        assert self._plan is not None  # noqa: S101 - as above
        assert slate is not None  # noqa: S101 - as above
        self.placed.set()
        self.note("info", "the attempt goes on under another supervisor", pid=child.pid)
        self._connect(child, self._plan, slate)
        if core.report is Report.TOLD:
            self._page.settled(TOLD)
        elif core.lease in {Lease.HELD, Lease.EXPIRED} and core.report is Report.QUIET:
            self._page.resumed(core.retries_left, self.api.token.value)
        if self._talk is not None and core.child not in {Place.ABSENT, Place.WAITING}:
            self._talk.resume(self._questions)
            if core.report is Report.TOLD and self._talk.hears_an_end:
                self._acknowledge = core.said
        if core.lease is Lease.ASKED:
            self._go(self._server.start(self._pid, self._lease_s, self._child))
        if core.child is Place.ABSENT:  # whoever asked for it was killed before it heard that there is a process
            self._page.spawned(child)
            self._fire(ev.Spawned())
        self._arm()

    async def speak(self, message: Message) -> ErrorResponse | None:
        """Take the task's word. One that was accepted, and whose asker was not told so, is not a second one."""
        acknowledge, self._acknowledge = self._acknowledge, None
        if acknowledge is not None and getattr(message, "state", None) == acknowledge:
            return None
        return await super().speak(message)


class Found(Struct):
    """One child that a keeper holds."""

    child: Child
    ti: bytes
    slate: Slate | None = None
    left: Left | None = None
    why: str = ""
    """What is wrong with it."""


def adopt(
    office: Office, settings: Settings, story: Story, children: Sequence[Child], complain: Callable[[str], None]
) -> Adopted:
    """Take over what can be. Called once the journal is ours and before anything is told from it.

    Raises AnotherVersionError when there is a slate that we cannot read and another could: then nothing was touched.
    One that nobody could read costs its own attempt, and no other.
    """
    _refuse_others(children)
    adopted = Adopted()
    for child in children:
        found = _look(child)
        entry = story.entries.get(found.ti)
        attempt = None
        match fate(found.left, entry):
            case Fate.ADOPT:
                attempt = _taken_over(office, settings, story, found, entry)
            case Fate.END:
                found.why = found.why or "what stands on its slate cannot be read"
            case Fate.FORGET:
                found.why = ""
        if attempt is not None:
            adopted.known.add(found.ti)
            adopted.pids.append(child.pid)
            adopted.attempts.append(attempt)
            point("adoption.adopted")
            continue
        if found.why:
            adopted.blamed[found.ti] = found.why
            complain(f"attempt {child.attempt} cannot be adopted, and what runs of it is killed: {found.why}")
        _let_go(office, found)
    if adopted.attempts:
        complain(f"attempts adopted from the last supervisor: {len(adopted.attempts)}")
    return adopted


def _refuse_others(children: Sequence[Child]) -> None:
    """Take over nothing where there are slates of another version: their children are healthy, and not ours to end."""
    theirs = [(child, version_of(child.slate_fd)) for child in children]
    others = [(child, version) for child, version in theirs if version not in {0, VERSION}]
    if others:
        numbers = ", ".join(str(number) for number in sorted({version for _, version in others}))
        raise AnotherVersionError(
            f"{len(others)} attempts of the last worker are held by their keepers, and their slates are of version "
            f"{numbers}, where this code reads {VERSION}. They go on, and nothing was done to them. Start the code "
            "that began them, and drain it (worker drain); or wait: without a worker they are asked to save and to end "
            "before their leases do, and a minute later this code starts here"
        )


def _look(child: Child) -> Found:
    found = Found(child, UUID(child.attempt).bytes)
    try:
        slate = found.slate = Slate(child.slate_fd)
        found.left = read(slate.part(Part.FACTS), slate.memory(), greeted=slate.said)
    except Exception as error:  # noqa: BLE001 - whatever damage does, it does it to this one
        found.why = f"its slate is damaged: {type(error).__name__}: {error}"
    return found


def _taken_over(office: Office, settings: Settings, story: Story, found: Found, entry: Entry | None) -> Attempt | None:
    """Give the attempt; None where it cannot be made, and why stands with what was found."""
    if not _same_server(office.journal, story, entry):
        found.why = "it is another server's than the one that this worker has"
        return None
    try:
        return _take_over(office, settings, found, entry)
    except Exception as error:  # noqa: BLE001 - as above
        found.why = f"what stands on its slate cannot be gone on from: {type(error).__name__}: {error}"
        return None


def _take_over(office: Office, settings: Settings, found: Found, entry: Entry | None) -> Attempt:
    assert found.left is not None  # noqa: S101 - others are not adopted
    order = order_from(found.left.facts, settings)
    extended = office.extended or order.workload.lease is not None
    title = title_of(order, extended=extended)
    if office.journal is None or entry is None:
        page = Page(office.journal, found.ti, title)
    else:
        page = Page.found(office.journal, entry, title)
    return AdoptedAttempt(office, settings, found, page)


def _let_go(office: Office, found: Found) -> None:
    """Kill it, if it lives, and have it forgotten."""
    office.keeper.kill(found.child, KILL, Scope.TREE)
    office.keeper.forget(found.child)
    if found.slate is not None:
        found.slate.close()
    for fd in found.child.channel_ends():
        if found.slate is None or fd != found.child.slate_fd:  # closed with the slate
            os.close(fd)


def _same_server(journal: Notebook | None, story: Story, entry: Entry | None) -> bool:
    """Whether its token is for the server that we speak to: it is shown to no other."""
    if journal is None or entry is None or entry.began is None:
        return True
    session = story.sessions.get(entry.began.session, journal.opened)
    return urlsplit(session.url).hostname == urlsplit(journal.opened.url).hostname


def _command(given: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(given)
