"""Mistakes that could be made, or were: each is put into our code for a while, and the simulation has to find it.

To plant one: write a function that gives what is to be replaced by what, and name it in `BUGS`. A bug that is not found
within 2,000 histories means that an invariant is missing, or that no history goes there.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

import server.rules
import server.sql.store
import server.sql.transitions
import supervisor.answers.checkpoints
import supervisor.api
import supervisor.attempt
import supervisor.conversation
import supervisor.handlers
import supervisor.journal
import supervisor.journal_writer
import supervisor.lifecycle
import supervisor.machines
import supervisor.outcome
import supervisor.pages
import supervisor.reporting
import supervisor.stopping
import tests.simulation.machine
from protocol.messages.checkpoints import CheckpointSaved, SaveCheckpoint, StopReason
from protocol.states import TaskInstanceState
from server.faults import Conflict, StoreFull
from server.listening import Listening
from server.records import Applied, Beat
from server.rules import Effect, Event, Move
from supervisor import events as ev
from supervisor.deadlines import Deadline
from supervisor.heartbeat import Word
from supervisor.leftovers import Swept
from supervisor.machines import REPORT, Report, ReportEvent
from supervisor.retrying import ONCE
from supervisor.worker import Worker

Change = tuple[Any, Any, Any]
"""What of, which of it, and what instead: an attribute by its name, or an item of a table by its key."""
_alone: set["asyncio.Future[Any]"] = set()
"""What is under way, and nobody waits for: that is the bug."""


def _nothing(*_: Any, **__: Any) -> None:
    """Do not do it."""


def the_outcome_is_not_written_down() -> list[Change]:
    """It is told, and a killed worker's successor knows nothing of it."""

    async def owed(*said: Any) -> bytes:
        _, _, body, *_ = said
        return bytes(body)

    return [(supervisor.pages.Page, "owed", owed)]


def it_is_told_before_the_disk_has_it() -> list[Change]:
    """What waits for a commit does not wait."""

    async def commit(self: Any, record: Any) -> bool:
        self.append(record)
        return True

    return [(supervisor.journal_writer.Journal, "commit", commit)]


def the_child_is_answered_before_the_server_has_it() -> list[Change]:
    """A word is acknowledged when it is on its way."""
    real = supervisor.reporting.Reporter.end

    async def end(self: Any, body: Any, row: str = "") -> None:
        _alone.add(asyncio.ensure_future(real(self, body, row)))

    return [(supervisor.reporting.Reporter, "end", end)]


def it_is_told_again_in_other_words() -> list[Change]:
    """Each try says its own moment."""

    async def end(self: Any, body: Any) -> None:
        while True:
            words = msgspec.json.decode(msgspec.json.encode(body))
            words["end_date"] = vars(supervisor.reporting)["datetime"].now(UTC).isoformat()
            call = self._vital("PATCH", "state", words, ONCE)
            with contextlib.suppress(supervisor.api.ApiAway):
                await self.client.call(call, self.token, supervisor.api.nothing)
                return
            await asyncio.sleep(1)

    return [(supervisor.api.AttemptApi, "end", end)]


def the_exit_is_told_although_a_word_stands() -> list[Change]:
    """Both the task's word and our verdict."""
    return [(REPORT[Report.TELLING], ReportEvent.ACCEPTED, (Report.QUIET, ()))]


def the_server_forgets_the_fence() -> list[Change]:
    """An outcome is taken from whoever had an earlier claim."""
    real = server.sql.store.SqlStore.finish

    async def finish(self: Any, *args: Any, fence: int | None = None) -> Any:
        del fence
        return await real(self, *args)

    return [(server.sql.store.SqlStore, "finish", finish)]


def a_refused_heartbeat_means_nothing() -> list[Change]:
    """404, 409 and 410 are passed over."""
    return [(supervisor.reporting, "meaning", lambda *_, **__: Word.NOTHING)]


def a_token_of_an_earlier_attempt_is_used() -> list[Change]:
    """The first that a worker had of a task is kept for all that follow."""
    real = supervisor.api.Token.__init__
    first: list[str] = []

    def token(self: Any, value: str, trace: bytes = b"") -> None:
        if trace or first:
            real(self, first[0] if first else value, trace)
            return
        real(self, value, trace)
        if b"." in value.encode():
            first.append(value)

    return [(supervisor.api.Token, "__init__", token)]


def what_is_owed_is_forgotten_at_a_restart() -> list[Change]:
    """A segment begins with all that is not over, but for the outcomes."""
    real = supervisor.journal.Story.take

    def take(self: Any, record: Any) -> None:
        if not isinstance(record, supervisor.journal.Owed):
            real(self, record)

    return [(supervisor.journal.Story, "take", take)]


def it_is_settled_before_it_is_told() -> list[Change]:
    """The journal forgets an outcome when its delivery begins."""
    real = supervisor.reporting.Reporter.deliver

    async def deliver(self: Any, state: str, payload: bytes) -> Any:
        self._page.settled("told")
        return await real(self, state, payload)

    return [(supervisor.reporting.Reporter, "deliver", deliver)]


def every_conflict_is_our_own_doing() -> list[Change]:
    """Whatever the server refuses counts as told."""
    return [(supervisor.reporting, "known_already", lambda *_, **__: True)]


def a_checkpoint_spends_a_try() -> list[Change]:
    """What is resumed is counted as a retry."""
    return [_spending(Event.TOLD_CHECKPOINTED)]


def an_interruption_spends_a_try() -> list[Change]:
    """A lost attempt that resumes is counted as a retry."""
    return [_spending(Event.LOST_RESUME)]


def _spending(event: Event) -> Change:
    place = TaskInstanceState.RUNNING, event
    move = server.rules.TABLE[place]
    assert isinstance(move, Move)
    return server.rules.TABLE, place, Move(move.to, move.effects | {Effect.SPEND})


def a_save_is_answered_before_it_is_durable() -> list[Change]:
    """The next attempt resumes from what nobody has."""
    real = supervisor.answers.checkpoints.save

    async def save(desk: Any, message: SaveCheckpoint) -> CheckpointSaved:
        _alone.add(asyncio.ensure_future(real(desk, message)))
        return CheckpointSaved(1)

    return [(supervisor.handlers.HANDLERS, SaveCheckpoint, save)]


def heartbeats_stop() -> list[Change]:
    """After the first that was answered there is no other."""
    return [(supervisor.lifecycle.Lifecycle._HANDLERS, ev.BeatTaken, _nothing)]  # noqa: SLF001 - where it is


def nobody_fences_itself() -> list[Change]:
    """The lease ends, and the child runs on."""
    return [(supervisor.lifecycle.Lifecycle._DUE, Deadline.LEASE, _nothing)]  # noqa: SLF001 - where it is


def a_question_is_answered_twice() -> list[Change]:
    """The same frame again."""
    real = supervisor.conversation.Conversation._reply  # noqa: SLF001 - where it is

    def reply(self: Any, number: int, reply: Any) -> None:
        asked = self._session.open[number]
        real(self, number, reply)
        self._session.open[number] = asked
        real(self, number, reply)

    return [(supervisor.conversation.Conversation, "_reply", reply)]


def a_question_in_an_outage_is_not_answered() -> list[Change]:
    """Who asks while nobody answers us waits for ever."""
    real = supervisor.handlers.answer

    async def answer(desk: Any, message: Any) -> Any:
        if desk.api.client.away_since is not None:
            await asyncio.Event().wait()
        return await real(desk, message)

    return [(supervisor.conversation, "answer", answer)]


def nobody_is_killed() -> list[Change]:
    """The ladder ends with SIGTERM."""
    return [(supervisor.stopping, "climb", lambda stop, now: msgspec.structs.replace(stop, until=now + 5.0))]


def what_is_left_of_the_dead_is_not_waited_for() -> list[Change]:
    """The lost are told of while their children run."""

    async def sweep(*_: Any, **__: Any) -> Swept:
        return Swept()

    return [(tests.simulation.machine, "swept", sweep)]


def leases_end_while_the_server_is_deaf() -> list[Change]:
    """A server that was away takes all that runs for lost."""
    return [(Listening, "missed", lambda *_: False)]


def what_found_no_room_counts_as_written() -> list[Change]:
    """A server whose disk is full says yes."""
    real = server.sql.store.SqlStore.finish

    async def finish(self: Any, *args: Any, **more: Any) -> Any:
        try:
            return await real(self, *args, **more)
        except StoreFull:
            return Applied.NEW

    return [(server.sql.store.SqlStore, "finish", finish)]


def what_is_cleared_begins_at_once() -> list[Change]:
    """Nobody waits for the attempt that runs."""
    place = TaskInstanceState.RUNNING, Event.CLEAR
    return [(server.rules.TABLE, place, server.rules.TABLE[TaskInstanceState.QUEUED, Event.CLEAR])]


def nobody_is_told_of_a_kill_by_hand() -> list[Change]:
    """The heartbeats of what was killed are taken."""
    real = server.sql.store.SqlStore.heartbeat

    async def heartbeat(self: Any, ti_id: str, *args: Any, **more: Any) -> Any:
        try:
            return await real(self, ti_id, *args, **more)
        except Conflict as refused:
            if refused.detail.get("current_state") != TaskInstanceState.FAILED:
                raise
            return Beat(datetime.now(UTC), None)

    return [(server.sql.store.SqlStore, "heartbeat", heartbeat)]


def an_upgrade_is_a_drain() -> list[Change]:
    """Who becomes his successor asks his tasks to stop."""
    real = Worker.leave

    def leave(self: Any, successor: Any) -> None:
        real(self, successor)
        for attempt in self.attempts:
            attempt.stop(StopReason.DRAIN)

    return [(Worker, "leave", leave)]


def an_end_that_nobody_saw_is_a_good_one() -> list[Change]:
    """Its status went with an adopted keeper."""
    real = supervisor.outcome.exit_of

    def exit_of(code: int | None, signal: int | None, contract: Any, **more: Any) -> Any:
        return real(code or 0 if signal is None else code, signal, contract, **more)

    return [(supervisor.attempt, "exit_of", exit_of)]


def a_lease_begins_when_the_worker_says() -> list[Change]:
    """The server counts from a moment of the worker's clock."""
    real = server.sql.store.SqlStore.start

    async def start(self: Any, ti_id: str, process: Any, start_date: datetime, now: datetime, **more: Any) -> Any:
        return await real(self, ti_id, process, start_date, min(now, start_date), **more)

    return [(server.sql.store.SqlStore, "start", start)]


def who_has_more_than_its_slots_asks_for_more() -> list[Change]:
    """A worker with fewer slots than it adopted attempts claims less than nothing."""
    real = Worker._work  # noqa: SLF001 - where it is

    async def work(self: Any) -> bool:
        free = self._settings.worker.slots - self._busy
        if free < 0:
            await self._source.take(free)
        return await real(self)

    return [(Worker, "_work", work)]


BUGS: tuple[Callable[[], list[Change]], ...] = (
    the_outcome_is_not_written_down,
    it_is_told_before_the_disk_has_it,
    the_child_is_answered_before_the_server_has_it,
    it_is_told_again_in_other_words,
    the_exit_is_told_although_a_word_stands,
    the_server_forgets_the_fence,
    a_refused_heartbeat_means_nothing,
    a_token_of_an_earlier_attempt_is_used,
    what_is_owed_is_forgotten_at_a_restart,
    it_is_settled_before_it_is_told,
    every_conflict_is_our_own_doing,
    a_checkpoint_spends_a_try,
    an_interruption_spends_a_try,
    a_save_is_answered_before_it_is_durable,
    heartbeats_stop,
    nobody_fences_itself,
    a_question_is_answered_twice,
    a_question_in_an_outage_is_not_answered,
    nobody_is_killed,
    what_is_left_of_the_dead_is_not_waited_for,
    leases_end_while_the_server_is_deaf,
    what_found_no_room_counts_as_written,
    what_is_cleared_begins_at_once,
    nobody_is_told_of_a_kill_by_hand,
    an_upgrade_is_a_drain,
    an_end_that_nobody_saw_is_a_good_one,
    a_lease_begins_when_the_worker_says,
    who_has_more_than_its_slots_asks_for_more,
)


@contextlib.contextmanager
def planted(bug: Callable[[], list[Change]]) -> Iterator[None]:
    """Have the bug in our code for a while."""
    with _replaced(bug()):
        yield


@contextlib.contextmanager
def _replaced(changes: list[Change]) -> Iterator[None]:
    before = [(place, name, _get(place, name)) for place, name, _ in changes]
    for change in changes:
        _set(*change)
    try:
        yield
    finally:
        for change in before:
            _set(*change)


def _get(place: Any, name: Any) -> Any:
    return place[name] if isinstance(place, dict) else getattr(place, name)


def _set(place: Any, name: Any, what: Any) -> None:
    if isinstance(place, dict):
        place[name] = what
    else:
        setattr(place, name, what)
