"""One attempt, carried out: the shell around `lifecycle`.

What happens (a child that exits, a frame, an answer of the server's, a deadline) becomes an event; what the core says
is to be done is done here, by one method each. The order of things is the core's business and none of this module's.
Every wait is a task of its own, so that nothing here stands in front of anything else: a slow answer delays its asker,
and a heartbeat delays nobody.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from protocol.codec import Unreadable
from protocol.errors import RemoteProtocolError
from protocol.messages.checkpoints import CheckpointTask, StopReason, StopRequest
from protocol.messages.control import ErrorResponse
from protocol.messages.shape import Message
from protocol.session import SupervisorSession
from supervisor import events as ev
from supervisor import peeking, runtimes, telling
from supervisor.answers.checkpoints import record as record_checkpoint
from supervisor.api import ApiError, AttemptApi
from supervisor.arguments import ArgumentError
from supervisor.conversation import Conversation
from supervisor.events import Action
from supervisor.folders import HeldForChangeError
from supervisor.handlers import error_of
from supervisor.heartbeat import answer_within
from supervisor.keeper.children import Child, Ending, SpawnError
from supervisor.keeper.link import Scope
from supervisor.keeper.stacks import capture
from supervisor.lifecycle import Lifecycle
from supervisor.logs_records import Source
from supervisor.machines import Do
from supervisor.notes import Notes
from supervisor.orders import Office, Order, facts_of, folder_of, page_of, planned, request_of
from supervisor.outcome import GOES_ON, ExitContract, Outcome, exit_of
from supervisor.pages import Page
from supervisor.records import Record, greeting, occasion_of, record_of, request_of_stop, status_of, summary, why_of
from supervisor.reporting import Reporter
from supervisor.rhythm import Rhythm
from supervisor.slate import Slate
from supervisor.stopping import CAPTURE_S, KILL
from supervisor.victims import Candidate

DRAIN_S = 0.5
"""How long it may take to read what an ended child has said: it is in a buffer already."""
REAP_S = 10.0


class Attempt:
    """One attempt. `run` gives its record; `stop` may be called at any time."""

    def __init__(self, office: Office, order: Order, page: Page | None = None) -> None:
        workload, ti = order.workload, order.workload.ti
        self.api = AttemptApi(office.client, ti.id, workload.token, office.patience, ti.context_carrier)
        self.extended = office.extended or workload.lease is not None
        self.released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the process is gone: from then on its slot is free."""
        self.placed = asyncio.Event()  # it has a process that a successor can adopt, or will have none any more
        self._office, self._order = office, order
        self._loop = asyncio.get_running_loop()
        self._core = Lifecycle(order.policy, workload.ti.id.bytes)
        self._log = office.logs.open(order.log)
        self._page = page or page_of(office, order, extended=self.extended)
        self._server = Reporter(self.api, self._log, self._fire, office.host, self._page, extended=self.extended)
        self.notes = Notes(self.api, self._log, office.way, extended=self.extended)
        self.note = self.notes.line
        self.rhythm = Rhythm(order.workload.ti, self._loop.time())
        self._folder = folder_of(order, self.notes)
        self._plan: runtimes.SpawnPlan | None = None
        self._child: Child | None = None
        self._talk: Conversation | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._began, self._exited, self._armed, self._why = self._loop.time(), 0.0, 0.0, ""
        self._finished: asyncio.Future[None] = self._loop.create_future()

    @property
    def ti_id(self) -> UUID:
        """Whose attempt this is."""
        return self._order.workload.ti.id

    @property
    def grace_s(self) -> float | None:
        """What its author lets a stop take."""
        return self._order.policy.grace_s

    async def run(self) -> Record:
        """Make the attempt, and come back when the server knows how it ended."""
        try:
            self._begin()
            await self._finished
            self._page.over()
            return await self._conclude()
        finally:  # done already, unless a fault of ours or a cancellation came first: who listens on finds no slate
            held: list[Any] = [self._timer, *self._tasks]
            for each in filter(None, held):
                each.cancel()
            if self._talk is not None:
                self._talk.abandon()
            if self._child is not None:
                self._office.keeper.kill(self._child, KILL, Scope.TREE)
                self._office.keeper.forget(self._child)
            self._log.end()
            self._page.close()
            self._free()

    def _begin(self) -> None:
        self._fire(ev.Begun())

    @property
    def idle(self) -> bool:
        """Whether nothing of it runs: all that is left is to ask the server, or to tell it."""
        return self._child is None or self.released.done()

    def stop(self, reason: StopReason, grace_s: float | None = None) -> None:
        """Have it end, with this reason. A second, shorter stop shortens the first one's patience."""
        if not self._core.finished:
            self.rhythm.asked(self._loop.time())
            self._fire(ev.StopAsked(reason, grace_s))

    def candidate(self) -> Candidate:
        """Say what it would mean to stop it for its memory."""
        memory = 0 if self._child is None else peeking.resident(self._child.pid)
        again = self._core.checkpoint or self._core.retries_left
        return Candidate(again, self.rhythm.saves > 0, memory, self.rhythm.since(self._loop.time()))

    # --- the core and its actions ---------------------------------------------------------------------------------

    def _fire(self, event: ev.Event) -> list[Action]:
        actions = self._core.handle(event, self._loop.time())
        self._page.remember(self._core)
        for action in actions:
            self._ACTIONS[action.do](self, action)
        self._arm()
        return actions

    def _arm(self) -> None:
        """Come back at the next deadline. A timer that is too early stays: it finds nothing due, and sets the next."""
        if self._core.finished or (deadline := self._core.next_deadline()) is None:
            return
        if self._timer is None or deadline < self._armed:
            if self._timer is not None:
                self._timer.cancel()
            self._armed, self._timer = deadline, self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if not self._core.finished:
            self._fire(ev.Tick())

    def _go(self, coroutine: Coroutine[Any, Any, object]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._went)

    def _went(self, task: "asyncio.Task[Any]") -> None:
        """A fault of ours ends the attempt's supervision loudly; it is never waited for in silence."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._finished.done():
            self._finished.set_exception(error)

    def _do_spawn(self, _: Action) -> None:
        self._go(self._spawn())

    def _do_start(self, _: Action) -> None:
        self._go(self._server.start(self._pid, self._lease_s, self._child))

    def _do_greet(self, _: Action) -> None:
        if self._talk is not None and (context := self._server.context) is not None:
            self._talk.greet(greeting(self._order.workload, context, self._office.hostname, datetime.now(UTC)))

    def _do_signal(self, action: Action) -> None:
        if self._child is not None and self._plan is not None:
            group = Scope.GROUP if self._plan.stops_group else Scope.LEADER
            self.note("warning", "the child is sent a signal", signal=action.signal, why=occasion_of(self._core))
            self._office.keeper.kill(self._child, action.signal, Scope.TREE if action.signal == KILL else group)

    def _do_capture(self, _: Action) -> None:
        if self._child is not None:
            self._go(capture(self._child, self.note, CAPTURE_S, self._log.hold))

    def _do_look(self, _: Action) -> None:
        """Whether the child has read its greeting: then nothing of ours waits in its socket."""
        fd = None if self._child is None else self._child.frames_fd
        if fd is not None and self._talk is not None and self._talk.unsent == 0 and peeking.unread(fd) == 0:
            self._fire(ev.Heard())

    def _do_hang_up(self, _: Action) -> None:
        if self._talk is not None:
            self._talk.hang_up()

    def _do_release(self, _: Action) -> None:
        if self._talk is not None:
            self._talk.close()
        self._free()

    def _do_report(self, _: Action) -> None:
        found = self._core.verdict
        assert found is not None  # noqa: S101 - the core decides before it asks for the report
        why = why_of(self._core, self._child, self._why)
        body = telling.verdict(found, datetime.now(UTC), why=why, reason=self._core.reason, extended=self.extended)
        self._go(self._server.end(body, found.row))

    def _do_beat(self, _: Action) -> None:
        self._go(self._server.beat(self._pid, answer_within(self._lease_s, self._office.answer_s)))

    def _do_finish(self, _: Action) -> None:
        if not self._finished.done():
            self._finished.set_result(None)

    _ACTIONS: Mapping[Do, Callable[["Attempt", Action], None]] = {
        Do.SPAWN: _do_spawn,
        Do.START: _do_start,
        Do.GREET: _do_greet,
        Do.CAPTURE: _do_capture,
        Do.SIGNAL: _do_signal,
        Do.TELL: lambda *_: None,  # done by whoever fired the event: the question that is answered so
        Do.REFUSE: lambda *_: None,  # as above
        Do.REPORT: _do_report,
        Do.BEAT: _do_beat,
        Do.LOOK: _do_look,
        Do.HANG_UP: _do_hang_up,
        Do.RELEASE: _do_release,
        Do.FINISH: _do_finish,
    }

    # --- the child ------------------------------------------------------------------------------------------------

    @property
    def _lease_s(self) -> float:
        lease = self._order.workload.lease
        return self._office.lease_s if lease is None else lease.seconds

    @property
    def _pid(self) -> int:
        """Whom the server is told of: the child where it was there first, else the worker."""
        return self._office.pid if self._child is None or not self._order.policy.talks else self._child.pid

    async def _spawn(self) -> None:
        try:
            plan = self._plan = await planned(self._order, self, self._server.context, self._folder)
            fd = self._page.prepare(facts_of(self._order, self._began, self._office.pid, self._folder), self._core)
            child = self._child = await self._office.keeper.spawn(request_of(self._order, plan), fd)
            slate = self._page.spawned(child)
        except HeldForChangeError as change:
            await self.speak(CheckpointTask(datetime.now(UTC), hold=str(change)))
            self._fire(ev.Unspawned())
        except (SpawnError, ArgumentError, ApiError, runtimes.UnfitError, OSError) as error:
            self._why = str(error)
            self.note("error", "the child could not be started", why=self._why)
            self._fire(ev.Unspawned())
        else:
            self._connect(child, plan, slate)
            self._fire(ev.Spawned())
            self.placed.set()

    def _connect(self, child: Child, plan: runtimes.SpawnPlan, slate: Slate) -> None:
        if self._folder is not None:
            self._go(self._folder.watch(self, self._order.every_s))
        for warning in child.warnings:
            self.note("warning", warning)
        if not self._order.policy.talks:  # the server knows it by its worker's pid
            self._log.say("info", "the program runs", pid=child.pid)
        self._log.attach(child.stdout_fd, Source.STDOUT, slate)
        self._log.attach(child.stderr_fd, Source.STDERR, slate)
        if child.frames_fd is not None and child.logs_fd is not None:
            self._log.attach(child.logs_fd, Source.LOG, slate)
            self._talk = Conversation(child.frames_fd, SupervisorSession(allowed=plan.allowed), self, self, slate)
        child.exited.add_done_callback(lambda _: self._gone(child))
        child.ended.add_done_callback(lambda _: self._gone(child))

    def _gone(self, child: Child) -> None:
        """The process ended and its slot is free. What it said is in a buffer, and is heard before its end is."""
        if not self.released.done():
            self._exited = self._loop.time()
            self._free()
        self._settle(child) if self._folder is None else self._go(self._folder.close(self, child, self._settle))

    def _free(self) -> None:
        self.placed.set()
        if not self.released.done():
            self.released.set_result(None)

    def _settle(self, child: Child) -> None:
        if self._core.gone:
            return
        talk, late = self._talk, self._loop.time() - self._exited > DRAIN_S
        speaking = talk is not None and (talk.busy or (not talk.ended and peeking.readable(child.frames_fd or 0)))
        # Whether it was out of memory is known a moment after its end is, when its group has been looked at.
        unclear = not child.ended.done() and child.exited.result().signal == signal.SIGKILL
        if (speaking or unclear) and not late:
            self._loop.call_later(0.001, self._settle, child)
            return
        code, number, oom = status_of(child)
        if talk is not None:
            talk.child_ended(code)
        contract = ExitContract(zero_is_success=False) if self._plan is None else self._plan.contract
        self._fire(ev.Exited(exit_of(code, number, contract, out_of_memory=oom)))

    # --- what is heard of the child (conversation.Listener) -------------------------------------------------------

    def heard(self) -> None:
        """The first frame shows that it is up."""
        if not self._core.up:
            self._fire(ev.Heard())

    def hung_up(self) -> None:
        """It closed its end."""
        self._fire(ev.HungUp())

    def broke(self, fault: RemoteProtocolError) -> None:
        """It broke the protocol: this attempt fails, and only this one."""
        self._why = f"{type(fault).__name__}: {fault}"
        self.note("error", "the child broke the protocol", why=self._why)
        self._fire(ev.Broke())

    def unreadable(self, event: Unreadable) -> None:
        """A question was refused."""
        self.note("warning", "a question could not be read", why=f"{type(event.fault).__name__}: {event.fault}")

    # --- what its questions reach (answers.Desk) ------------------------------------------------------------------

    async def speak(self, message: Message) -> ErrorResponse | None:
        """Take the task's word: the first one that the server accepts stands."""
        core, why = self._core, self.api.reason
        state = telling.state_of(message, core.reason, extended=self.extended, retries_left=core.retries_left)
        if not any(action.do is Do.TELL for action in self._fire(ev.Spoke(state))):
            self.note("warning", "a further terminal message is refused", state=state, said=core.said)
            return telling.too_late(state, core.said)
        try:
            if isinstance(message, CheckpointTask) and not self.extended and (message.data or message.blob):
                await record_checkpoint(self, message)
            word = telling.said(message, state, datetime.now(UTC), reason=core.reason, why=why, extended=self.extended)
            refused = await self._server.end(word)
        except Exception:  # it was not told, whatever kept it; the task may say something else
            self._fire(ev.Declined())
            raise
        return None if refused is None else error_of(type(message), refused)

    def limit(self, seconds: float) -> None:
        """Set the execution timeout."""
        self._fire(ev.Limited(seconds))

    def progress(self) -> None:
        """Note a sign of life."""
        self._fire(ev.Progressed())

    def saved(self) -> None:
        """Note a checkpoint."""
        self._page.saved()
        self.rhythm.saved(self._loop.time())
        self._fire(ev.Saved())

    def stop_request(self) -> StopRequest | None:
        """Give the stop under way."""
        return request_of_stop(self._core, self._loop.time(), datetime.now(UTC))

    def log_channel(self) -> int | None:
        """Open a further log channel."""
        return self._log.channel()

    def mask(self, value: object) -> None:
        """Hide a value in the log."""
        self._log.masker.add(value)
        self._page.hides(self._log.masker.secrets)

    # --- the end --------------------------------------------------------------------------------------------------

    async def _conclude(self) -> Record:
        ending = None if self._child is None else await self._child.wait_for(REAP_S)
        if self._talk is not None:
            await self._talk.wait()
        record = self.record(ending)
        if self.extended and ending is not None and record.outcome is Outcome.SERVER_TERMINATED:
            await self._server.gone()
        self.rhythm.ended(self._loop.time())
        # A failure of which the task said nothing is worth a request to the server, were it only one.
        say, level = (self._log.say, "info") if record.kind is None else (self.note, "error")
        say(level, "the attempt ended", **summary(record))
        for task in self._tasks:
            task.cancel()
        if self._folder is not None:
            await self._folder.forget(goes_on=record.outcome in GOES_ON)
        await self.notes.close(begun=record.outcome is not Outcome.NOT_STARTED)
        return record

    def record(self, ending: Ending | None = None) -> Record:
        """Give its record, as far as it goes."""
        talk, why = self._talk, why_of(self._core, self._child, self._why)
        if ending is None and self._child is not None and self._child.ended.done():
            ending = self._child.ended.result()
        counted = {"questions": talk.asked if talk else 0, "frame_bytes": talk.bytes_in if talk else 0}
        wall_s, read = round((self._exited or self._loop.time()) - self._began, 6), self._log.totals.read_bytes
        return record_of(self._order.workload.ti, self._core, ending, why, wall_s=wall_s, log_bytes=read, **counted)
