"""One attempt, from its process to its record: events in, actions out. No clock, no process, no socket.

**Theory.** Three small machines (`machines`) say where the process is, what the server was told, and whether it
believes that we run. They are coupled here, in one place, by these rules:

- A child that speaks frames does nothing before it is greeted: it is started, and then the server is asked whether it
  may run, because a real server wants to know its pid. Any other begins with its first instruction: there the server is
  asked first. One that could not be started is asked for as well: only an attempt that runs can be reported as failed.
- The server's yes is the greeting, or the process; its no ends the process, and nothing is reported.
- The task's word goes to the server while the child waits for the answer to it, so that an acknowledged word is one
  that the server has. Until it is taken or declined, no other word is, and a refused heartbeat means nothing: it may
  have been sent after the word was taken.
- The end of the process frees the slot at once. If the task's word is not on its way or told, our verdict is.
- The first reason to stop is the cause. A later stop can only make it quicker.
- The attempt is finished when the process is gone and the server knows, or wants to know nothing, of its end.

`next_deadline` says when the shell is to come back with a `Tick` if nothing else happens until then.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from protocol.messages.checkpoints import StopReason
from protocol.states import TaskInstanceState
from supervisor import events as ev
from supervisor import stopping
from supervisor.deadlines import Deadline, Deadlines, Moment
from supervisor.events import Action, Policy
from supervisor.explaining import Overdue
from supervisor.machines import (
    CHILD,
    LEASE,
    REPORT,
    STANDING,
    Child,
    ChildEvent,
    Do,
    Lease,
    LeaseEvent,
    Report,
    ReportEvent,
)
from supervisor.outcome import CAUSES, Cause, Exit, Facts, Server, Standing, Verdict, decide
from supervisor.stopping import CAPTURE, Manner, Stop
from supervisor.tenure import Leasehold, manner_of

LOOK_S = 1.0
"""How long the shell has to find out whether a silent child has read its greeting."""

_ENDS = frozenset({Deadline.BOOT, Deadline.EXECUTION, Deadline.PROGRESS, Deadline.OVERTIME})
_NOT_UP = frozenset({Child.ABSENT, Child.WAITING, Child.BOOTING})


class Lifecycle:
    """The attempt's state. `handle` is its only door."""

    def __init__(self, policy: Policy, seed: bytes) -> None:
        self.policy = policy
        self.child = Child.ABSENT
        self.report = Report.QUIET
        self.lease = Lease.UNASKED
        self.cause = Cause.NONE
        self.reason: StopReason | None = None
        self.overdue: Overdue | None = None
        self.stop: Stop | None = None
        self.said: TaskInstanceState | None = None
        self.checkpoint = False
        self.retries_left = False
        self.verdict: Verdict | None = None
        self.finished = False
        self.deadlines = Deadlines(policy.limits)
        grace_s = policy.graces.task_s if policy.grace_s is None else policy.grace_s
        self.leasehold = Leasehold(policy.outage, grace_s, policy.heartbeat_s, seed)
        self.server = Server.WILLING
        self._exit: Exit | None = None
        self.looked = False
        self._actions: list[Action] = []

    @property
    def up(self) -> bool:
        """Whether the child has been heard, or never will be."""
        return self.child not in _NOT_UP

    @property
    def gone(self) -> bool:
        """Whether the process has ended, or never was."""
        return self.child is Child.GONE

    def next_deadline(self) -> float | None:
        """Say when to come back with a `Tick`."""
        return self.deadlines.next()

    def handle(self, event: ev.Event, now: float) -> list[Action]:
        """Take an event; give what is to be done, in order."""
        self._actions = []
        self._HANDLERS[type(event)](self, event, now)
        self._conclude()
        return self._actions

    # --- the machines ---------------------------------------------------------------------------------------------

    def _child(self, event: ChildEvent) -> bool:
        before, (self.child, do) = self.child, CHILD[self.child][event]
        self._do(do)
        return self.child is not before

    def _report(self, event: ReportEvent) -> bool:
        before, (self.report, do) = self.report, REPORT[self.report][event]
        self._do(do)
        return self.report is not before

    def _lease(self, event: LeaseEvent) -> bool:
        before, (self.lease, do) = self.lease, LEASE[self.lease][event]
        self._do(do)
        return self.lease is not before

    def _do(self, do: Iterable[Do]) -> None:
        self._actions.extend(Action(each) for each in do)

    # --- the process ----------------------------------------------------------------------------------------------

    def _begun(self, _: ev.Begun, __: float) -> None:
        if self.policy.talks:
            self._do((Do.SPAWN,))
        else:
            self._lease(LeaseEvent.ASK)

    def _spawned(self, _: ev.Spawned, now: float) -> None:
        self._child(ChildEvent.SPAWNED)
        self.deadlines.apply(Moment.SPAWNED, now)
        self._lease(LeaseEvent.ASK)
        if self.lease is Lease.HELD:
            self._greet(now)
        if self.cause is not Cause.NONE:
            self._halt(self._manner(), now)

    def _unspawned(self, _: ev.Unspawned, now: float) -> None:
        self._exit = Exit.NEVER
        self._child(ChildEvent.UNSPAWNED)
        self.deadlines.apply(Moment.GONE, now)
        self._lease(LeaseEvent.ASK)

    def _exited(self, event: ev.Exited, now: float) -> None:
        if self.deadlines.passed(Deadline.LEASE, now):  # we come late: perhaps it was the keeper that ended it
            self._late_lease(now)
        if self._child(ChildEvent.EXITED):
            self._exit = event.exit
            self.deadlines.apply(Moment.GONE, now)

    def _heard(self, _: ev.Event, now: float) -> None:
        if self._child(ChildEvent.HEARD):
            self.deadlines.apply(Moment.HEARD, now)

    def _progressed(self, _: ev.Progressed, now: float) -> None:
        if self.child is Child.WORKING:
            self.deadlines.apply(Moment.PROGRESSED, now)

    def _limited(self, event: ev.Limited, now: float) -> None:
        self.deadlines.limit(Deadline.EXECUTION, event.seconds)
        if self.child in {Child.BOOTING, Child.WORKING}:
            self.deadlines.set(Deadline.EXECUTION, now + event.seconds)

    def _saved(self, _: ev.Saved, now: float) -> None:
        self.checkpoint = True
        self._progressed(ev.Progressed(), now)

    # --- the server's leave to run --------------------------------------------------------------------------------

    def _granted(self, event: ev.Granted, now: float) -> None:
        self.leasehold.grant(event.lease_s)
        self.retries_left = event.retries_left
        if not self._lease(LeaseEvent.GRANTED) or self.child is Child.GONE:
            return
        self._hold(event.sent, now)
        if self.child is not Child.ABSENT:
            self._greet(now)
        elif self.cause is Cause.NONE:
            self._do((Do.SPAWN,))
        else:
            self._unspawned(ev.Unspawned(), now)

    def _greet(self, now: float) -> None:
        if self._child(ChildEvent.GRANTED):
            self.deadlines.apply(Moment.STARTED, now)
            if not self.policy.talks:
                self._heard(ev.Heard(), now)

    def _refused(self, _: ev.Refused, now: float) -> None:
        self.server = Server.REFUSED
        self._lease(LeaseEvent.REFUSED)
        self._report(ReportEvent.FENCED)
        if self.child is Child.ABSENT:
            self._unspawned(ev.Unspawned(), now)
        self._halt(Manner.AT_ONCE, now)

    def _hold(self, sent: float | None, now: float) -> None:
        self.deadlines.set(Deadline.LEASE, self.leasehold.renew(now if sent is None else sent).begin)
        self.deadlines.set(Deadline.BEAT, self.leasehold.next_beat(now, answered=True))

    def _beat_taken(self, event: ev.BeatTaken, now: float) -> None:
        self._lease(LeaseEvent.BEAT)
        if self.lease is Lease.HELD and self._beating():
            self._hold(event.sent, now)

    def _beat_lost(self, _: ev.BeatLost, now: float) -> None:
        if self._beating():
            self.deadlines.set(Deadline.BEAT, self.leasehold.next_beat(now, answered=False))

    def _beat_refused(self, event: ev.BeatRefused, now: float) -> None:
        if self.report is not Report.QUIET:
            self._beat_lost(ev.BeatLost(), now)
            return
        self._give_up()
        self._begin(event.reason, CAUSES[event.reason], Manner.BRISK, now)

    def _beating(self) -> bool:
        """Whether the server is to hear that we live: it let us run, we do, and it does not know of an end."""
        asked = self.lease in {Lease.HELD, Lease.EXPIRED}
        return asked and self.child is not Child.GONE and self.report in {Report.QUIET, Report.TELLING}

    def _give_up(self) -> None:
        self.server = Server.TERMINATED
        self._lease(LeaseEvent.CLOSE)
        self._report(ReportEvent.FENCED)
        self.deadlines.clear(Deadline.BEAT)
        self.deadlines.clear(Deadline.LEASE)

    # --- the task's word, and ours --------------------------------------------------------------------------------

    def _hung_up(self, _: ev.HungUp, now: float) -> None:
        self._do((Do.HANG_UP,))
        if self.child in {Child.BOOTING, Child.WORKING, Child.SPOKEN}:
            self.deadlines.apply(Moment.HUNG_UP, now)

    def _spoke(self, event: ev.Spoke, now: float) -> None:
        if self._report(ReportEvent.SPOKE):
            self.said = event.state
            self._child(ChildEvent.SPOKE)
            self.deadlines.apply(Moment.SPOKE, now)

    def _accepted(self, _: ev.Accepted, now: float) -> None:
        if self._report(ReportEvent.ACCEPTED):
            self._lease(LeaseEvent.CLOSE)
            if self.child is not Child.GONE:
                self.deadlines.apply(Moment.TOLD, now)
                if self.child is Child.STOPPING:
                    self.deadlines.clear(Deadline.OVERTIME)

    def _declined(self, event: ev.Declined, now: float) -> None:
        if not self._report(ReportEvent.FENCED if event.final else ReportEvent.DECLINED):
            return
        if self.report is Report.QUIET:
            self.said = None
            if self._child(ChildEvent.DECLINED):
                self.deadlines.apply(Moment.DECLINED, now)
        elif self.child is not Child.GONE:
            self.deadlines.apply(Moment.TOLD, now)

    def _fenced(self, _: ev.Fenced, now: float) -> None:
        if self.report in {Report.TELLING, Report.DUE}:
            self.verdict = None
            self._give_up()
            self._begin(StopReason.FENCED, Cause.FENCED, Manner.BRISK, now)

    # --- stopping -------------------------------------------------------------------------------------------------

    def _stop_asked(self, event: ev.StopAsked, now: float) -> None:
        self._begin(event.reason, CAUSES[event.reason], stopping.MANNERS[event.reason], now, event.grace_s)

    def _broke(self, _: ev.Broke, now: float) -> None:
        self._do((Do.HANG_UP,))
        self._begin(None, Cause.PROTOCOL, Manner.BRISK, now)

    def _begin(
        self, reason: StopReason | None, cause: Cause, manner: Manner, now: float, grace_s: float | None = None
    ) -> None:
        """Begin to stop, or make a stop that is under way quicker."""
        if self.child is Child.GONE:
            return
        if self.stop is not None:
            rungs = stopping.rungs_of(manner, self.policy.graces, left_s=grace_s)
            patience_s = next((rung.patience_s for rung in rungs if rung.signal != CAPTURE), 0.0)
            self.stop = stopping.hasten(self.stop, now, patience_s)
            self.deadlines.set(Deadline.PATIENCE, self.stop.until)
            return
        if self.cause is Cause.NONE and self.report is not Report.TOLD:
            self.cause, self.reason = cause, reason
        self._halt(manner, now, grace_s)

    def _manner(self) -> Manner:
        return Manner.BRISK if self.reason is None else stopping.MANNERS[self.reason]

    def _halt(self, manner: Manner, now: float, grace_s: float | None = None) -> None:
        if self._child(ChildEvent.STOP):
            self.deadlines.apply(Moment.STOPPED, now)
            rungs = stopping.rungs_of(manner, self.policy.graces, self.policy.grace_s, grace_s)
            self.stop = stopping.begin(rungs, now)
            self._take(self.stop)

    def _take(self, stop: Stop) -> None:
        self._actions.append(Action(Do.CAPTURE) if stop.signal == CAPTURE else Action(Do.SIGNAL, stop.signal))
        self.deadlines.set(Deadline.PATIENCE, stop.until)

    # --- time -----------------------------------------------------------------------------------------------------

    def _tick(self, _: ev.Tick, now: float) -> None:
        for deadline in self.deadlines.due(now):
            if self.cause is Cause.NONE and deadline in _ENDS:
                self.overdue = Overdue(deadline, self.deadlines.span(deadline))
            self._DUE[deadline](self, now)

    def _late_boot(self, now: float) -> None:
        """Nothing was heard. Perhaps it works in silence: then it has read its greeting, and the shell can see that."""
        if self.looked:
            self._begin(None, Cause.BOOT, Manner.SHORT, now)
        else:
            self.looked = True
            self._do((Do.LOOK,))
            self.deadlines.set(Deadline.BOOT, now + LOOK_S)

    def _late_task(self, now: float) -> None:
        self._begin(StopReason.TIMEOUT, Cause.TIMEOUT, Manner.SHORT, now)

    def _late_exit(self, now: float) -> None:
        """It should have ended by now: it has said how it ended, or can say nothing any more."""
        self._begin(None, Cause.PROTOCOL, Manner.SHORT, now)

    def _late_rung(self, now: float) -> None:
        assert self.stop is not None  # noqa: S101 - patience is only counted between rungs
        self.stop = stopping.climb(self.stop, now)
        self._take(self.stop)

    def _due_beat(self, _: float) -> None:
        self._do((Do.BEAT,))

    def _late_lease(self, now: float) -> None:
        manner, tenure = manner_of(self.policy.outage), self.leasehold.now
        if self._lease(LeaseEvent.SILENCE) and manner is not None and tenure is not None:
            self._begin(StopReason.FENCED, Cause.FENCED, manner, now, tenure.grace_s(now))

    # --- the end --------------------------------------------------------------------------------------------------

    def _conclude(self) -> None:
        """Report the end when it can be told, and finish when there is nothing left to tell."""
        if self.finished or self.child is not Child.GONE or self.lease in {Lease.UNASKED, Lease.ASKED}:
            return
        if self.report is Report.QUIET:
            self.verdict = decide(self.facts())
            self._report(ReportEvent.ENDED)
        if self.report in {Report.TOLD, Report.CLOSED}:
            if self.verdict is None:
                self.verdict = decide(self.facts())
            self.finished = True
            self._do((Do.FINISH,))

    def facts(self) -> Facts:
        """Give what the truth table looks at."""
        return Facts(
            standing=STANDING[self.report] if self.said is not None else Standing.SILENT,
            exit=self._exit or Exit.LOST,
            cause=self.cause,
            server=self.server,
            retries_left=self.retries_left,
            zero_is_success=self.policy.zero_is_success,
            checkpoint=self.checkpoint,
        )

    _DUE: Mapping[Deadline, Callable[["Lifecycle", float], None]] = {
        Deadline.BOOT: _late_boot,
        Deadline.EXECUTION: _late_task,
        Deadline.PROGRESS: _late_task,
        Deadline.OVERTIME: _late_exit,
        Deadline.PATIENCE: _late_rung,
        Deadline.BEAT: _due_beat,
        Deadline.LEASE: _late_lease,
    }

    _HANDLERS: Mapping[type[ev.Event], Callable[["Lifecycle", Any, float], None]] = {
        ev.Begun: _begun,
        ev.Spawned: _spawned,
        ev.Unspawned: _unspawned,
        ev.Granted: _granted,
        ev.Refused: _refused,
        ev.Heard: _heard,
        ev.Progressed: _progressed,
        ev.Limited: _limited,
        ev.Saved: _saved,
        ev.Spoke: _spoke,
        ev.Accepted: _accepted,
        ev.Declined: _declined,
        ev.Fenced: _fenced,
        ev.BeatTaken: _beat_taken,
        ev.BeatRefused: _beat_refused,
        ev.BeatLost: _beat_lost,
        ev.StopAsked: _stop_asked,
        ev.Broke: _broke,
        ev.HungUp: _hung_up,
        ev.Exited: _exited,
        ev.Tick: _tick,
    }
