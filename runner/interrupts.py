"""The stop: from a SIGTERM, which says nothing but that, to a task that ended well.

Theory. The handler runs in the main thread, between any two steps of the task, on top of whatever locks the task
holds. So it does nothing that could wait: it starts a thread, the *conductor*, and returns. The conductor

1. asks the supervisor for the reason and the deadline (`GetStopRequest`). One that does not know the question, or does
   not answer, leaves the reason unknown and the deadline at a grace of our own;
2. sets `stopping` and `deadline`, and runs the hooks, in a thread of their own: one that hangs holds nothing up;
3. interrupts the task: `TaskInterrupted` in its main thread, so that its `finally` blocks run. An `async` task is
   cancelled in its loop instead, unless the loop is blocked until the last call.

A task that uses checkpoints (it has looked at `ctx.checkpoint`, or called `ctx.save`) is *patient* about 3: it is left
until the last call (the deadline less a margin) to reach its next save, where it stops by itself. A second SIGTERM is
the last call, come early. The raising is done by the handler too: the conductor leaves word and sends the signal again.

A task is interrupted once, and has not finished then, even if something in it caught that and it returns: nobody can
tell a task that went on to its end from one of which a piece is missing. `ctx.finished()` says the first. Its
clean-up is not interrupted again; what it does beyond the deadline is the supervisor's to end. Before the task's code
begins a stop is remembered, and after it has ended nothing here changes the outcome.

A thread blocked in C gets the signal, and Python runs the handler when C returns; until then nothing here can act.
"""

import importlib
import os
import signal
import threading
import time
from _thread import start_new_thread
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from protocol.messages.checkpoints import GetStopRequest, StopReason, StopRequest, StopRequestResult
from protocol.messages.shape import Message
from runner.logs import Log
from runner.outcomes import Checkpointed, Stop, TaskInterrupted

ANSWER_WITHIN = 1.0
"""Seconds to wait for the reason. Our supervisor has it at hand; Airflow's never answers what it does not know."""
OWN_GRACE = 5.0
"""Seconds a task gets when nobody says how many: what Airflow's supervisor gives."""
MARGIN = 0.2
MARGIN_SECONDS = (0.5, 5.0)
"""The part of the grace, within bounds, that is kept for clean-up and for telling the outcome."""

_raw_signal: Any = importlib.import_module("_signal")
"""`signal` without its enums, which a child would make anew."""

AGAIN = 0.1
"""Seconds until word that was not taken is sent again: the thread is blocked in C, or was in the middle of a fork."""

Ask = Callable[[Message, float | None], Message | None]
Hook = Callable[[], object]


class Phase(Enum):
    """Where the task's code is."""

    BEFORE = "before"
    RUNNING = "running"
    OVER = "over"


def margin_of(grace: float) -> float:
    """Give the seconds before the deadline at which a task is called a last time; never more than half of them."""
    low, high = MARGIN_SECONDS
    return min(max(low, MARGIN * grace), high, grace / 2)


class Interrupts:
    """One attempt's stop. Made in the main thread."""

    def __init__(self, ask: Ask, log: Log) -> None:
        self.stopping = False
        self.reason: StopReason | None = None
        self.deadline: datetime | None = None
        self._until = 0.0
        self.patient = False
        """The task uses checkpoints: it is left to reach its next save."""
        self.on_record = False
        """There is a checkpoint to resume from."""
        self._at_save = False
        self.phase = Phase.BEFORE
        self._ask = ask
        self._log = log
        self._hooks: list[Hook] = []
        self._hooks_ran = threading.Lock()
        self._hooking = 0
        self._asked = False
        self._conducted = False
        self._word: TaskInterrupted | None = None
        self._last_call = False
        self._interrupted = False
        self._finished = False
        self._forking = False
        self._cancel: Hook | None = None
        self._mail: SimpleQueue[None] = SimpleQueue()
        self._main = threading.get_ident()

    @property
    def stop(self) -> Stop:
        """What is known of it, for the outcome."""
        return Stop(self.reason, self.on_record, self._at_save)

    @property
    def cut_short(self) -> bool:
        """Whether a stop has interrupted the task, and it has not said since that it is done all the same."""
        return self._interrupted and not self._finished

    def finished(self) -> None:
        """Take word from the task that its work is done, whatever interrupted it. A hook cannot know that."""
        if threading.get_ident() != self._hooking:
            self._finished = True

    def install(self) -> None:
        """Take SIGTERM. What the task forks dies of it, as it would without us."""
        _raw_signal.signal(_raw_signal.SIGTERM, self._handle)
        os.register_at_fork(before=self._before_fork, after_in_parent=self._after_fork, after_in_child=_leave_sigterm)

    def open(self) -> None:
        """The task's code begins."""
        self.phase = Phase.RUNNING
        if self._asked:
            self._begin()

    def close(self) -> None:
        """The task's code is over. Hooks that still run may finish, until the deadline."""
        self.phase = Phase.OVER
        self._mail.put(None)
        # The task's own timers end with its code: nothing of it may interrupt the telling of its outcome.
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self.stopping and self._hooks:
            left = self._until - time.monotonic()
            if self._hooks_ran.acquire(timeout=max(0.0, left - margin_of(left)) if left > 0 else 0):
                self._hooks_ran.release()

    def on_stop(self, hook: Hook) -> None:
        """Have a hook run when the stop comes; it came already: run it now."""
        if self.stopping:
            self._run(hook)
        else:
            self._hooks.append(hook)

    def cancel_with(self, cancel: Hook) -> None:
        """Have the task cancelled rather than interrupted. `cancel` is called, once, from another thread."""
        self._cancel = cancel

    def cancelled(self) -> None:
        """Take word from the task's loop: it is cancelling the task, so nothing else needs to interrupt it."""
        self._interrupted = True

    def uses_checkpoints(self) -> None:
        """Be patient from now on. A hook that saves is not the task on its way to a save."""
        if threading.get_ident() != self._hooking:
            self.patient = True

    def stops_at_save(self) -> None:
        """Take word that a save ends the task, in whichever thread: what it does from now on is no end of its work."""
        if threading.get_ident() != self._hooking:
            self._at_save = True

    # --- in the main thread, between any two steps of the task ---

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        word = self._word
        if word is not None:
            if self._forking:
                return  # what is raised in a hook of `fork` is lost; the word is sent again
            self._word = None
            if self.phase is Phase.RUNNING and (self._last_call or not self.patient):
                self._interrupted = True
                raise word
        elif self._asked:
            self._last_call = True
            self._mail.put(None)
        else:
            self._asked = True
            if self.phase is Phase.RUNNING:
                self._begin()

    # A signal that reaches a new process before it has left our handler would be lost: it waits until then.

    def _before_fork(self) -> None:
        self._forking = True
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _after_fork(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        self._forking = False

    def _begin(self) -> None:
        if not self._conducted:
            self._conducted = True
            # Not `threading.Thread`: its locks may be held by the very frame this interrupts.
            start_new_thread(self._conduct, ())

    # --- in the conductor's thread ---

    def _conduct(self) -> None:
        stop = self._learn()
        self.deadline = stop.deadline if stop else datetime.now(UTC) + timedelta(seconds=OWN_GRACE)
        self.reason = stop.reason if stop else None
        grace = max(0.0, (self.deadline - datetime.now(UTC)).total_seconds())
        self._until = time.monotonic() + grace  # from here on the wall clock may jump
        call_at = self._until - margin_of(grace)
        self.stopping = True
        self._log.warning("the task is asked to stop", reason=self.reason, deadline=self.deadline)
        if self._hooks:
            self._hooks_ran.acquire()
            start_new_thread(self._run_hooks, ())
            self._wait(call_at)
        self._interrupt()
        while not self._settled():
            self._wait(call_at)
            if self._last_call or time.monotonic() >= call_at:
                self._last_call = True
                self._interrupt()
                return

    def _learn(self) -> StopRequest | None:
        try:
            reply = self._ask(GetStopRequest(), ANSWER_WITHIN)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the task has to stop
            self._log.warning("why the task is to stop is not known", cause=f"{type(error).__name__}: {error}")
            return None
        return reply.stop if isinstance(reply, StopRequestResult) else None

    def _settled(self) -> bool:
        return self._interrupted or self.phase is not Phase.RUNNING

    def _taken(self) -> bool:
        return self._word is None or self._settled()

    def _interrupt(self) -> None:
        if self._settled() or (self.patient and not self._last_call):
            return
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()
            return
        self._word = TaskInterrupted(f"stop: {self.reason or 'asked from outside'}")
        while not self._taken():
            signal.pthread_kill(self._main, signal.SIGTERM)
            self._wait(time.monotonic() + AGAIN)

    def _wait(self, until: float) -> None:
        try:
            self._mail.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            return

    def _run_hooks(self) -> None:
        self._hooking = threading.get_ident()
        try:
            for hook in reversed(self._hooks):
                self._run(hook)
        finally:
            self._hooks_ran.release()
            self._mail.put(None)

    def _run(self, hook: Hook) -> None:
        try:
            hook()
        except Checkpointed:
            return  # it saved, and was told that the attempt is to stop, which is why it ran
        except BaseException as error:  # noqa: BLE001 - the other hooks run all the same
            self._log.write("error", "an on_stop hook failed", {}, error)


def _leave_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
