"""The worker: a source, slots, and an attempt in each.

It claims what it has slots for, and not more. A slot is free when its process is gone; that the server is still to be
told is no reason to let a machine stand idle. A drain stops claiming and asks every attempt to stop, all at once,
each with the task's grace; the worker ends when the last one has been told, or its own grace is over. With
`telling_s` it waits only so long for a server that does not answer when nothing runs any more. A second drain
shortens patience, and nothing else: what is owed to the server is told all the same.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from protocol.http.workloads import ExecuteTask
from protocol.messages.checkpoints import StopReason
from supervisor.adoption import adopt
from supervisor.api import ApiRefused
from supervisor.attempt import Attempt
from supervisor.journal import Story
from supervisor.opening import children_root
from supervisor.orders import Office, order_of
from supervisor.records import Record
from supervisor.recovering import Outbox
from supervisor.rhythm import ask_in, shortfall
from supervisor.settings import Settings
from supervisor.shipping import EVERY_S
from supervisor.sources import Source
from supervisor.stopping import granted
from supervisor.victims import choose
from supervisor.watching import noticed, pressed, remember, remembered

T = TypeVar("T")

TIMES = "checkpoint-times.json"
"""In the state directory: how long tasks took to come to a checkpoint."""

URGENT_S = 2.0
"""What a second stop leaves a task."""

PLACED_S = 5.0
"""How long an upgrade waits for attempts that are being started: the server that is to let them run may be away."""


class Worker:
    """One worker. `run` comes back when the source is dry or the drain is done; `drain` may be called at any time."""

    def __init__(  # noqa: PLR0913 - a worker's parts
        self,
        office: Office,
        settings: Settings,
        source: Source,
        on_record: Callable[[Record], None] = lambda _: None,
        on_fault: Callable[[str], None] = lambda _: None,
        *,
        outbox: Outbox | None = None,
        telling_s: float | None = None,
    ) -> None:
        self.attempts: dict[Attempt, asyncio.Task[None]] = {}
        self.undelivered = 0
        """Attempts whose end could not be told before the worker's own grace was over."""
        self.refused: ApiRefused | None = None
        """Why there is no more work, where that is the server's will and not ours."""
        self._office = office
        self._settings = settings
        self._source = source
        self._on_record = on_record
        self._on_fault = on_fault
        self._outbox = outbox
        self._telling_s = telling_s
        self._delivering: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._free_since = 0.0
        self._room = asyncio.Event()
        self._draining = asyncio.Event()
        self._reason = StopReason.DRAIN
        self._ends: float | None = None
        """When this machine ends, where that is known."""
        self._successor: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._times = remembered(settings.state_dir / TIMES)

    def leave(self, successor: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Claim no more, and become another worker, which adopts the attempts. False when it ends anyway."""
        if self.draining:
            return False
        self._successor = successor
        self._draining.set()
        return True

    @property
    def leaving(self) -> bool:
        """Whether it waits to become another worker. A drain comes before that."""
        return self._successor is not None

    @property
    def draining(self) -> bool:
        """Whether no more is claimed."""
        return self._draining.is_set()

    async def run(self) -> None:
        """Work until there is nothing more to do."""
        options = self._settings.checkpoints
        beside = [self._ship(), pressed(options.memory_pressure, self._yield_one, options.pressure_file)]
        beside += [self._notice(options.notice)] if options.notice else []
        tasks = [asyncio.create_task(each) for each in beside]
        if self._outbox is not None:
            delivering = asyncio.create_task(self._outbox.deliver(children_root(self._settings)))
            self._delivering.add(delivering)
            delivering.add_done_callback(self._delivering.discard)
        try:
            if self._outbox is not None:
                await self._or_drain(self._outbox.clear.wait())
            if self._office.starting is not None:
                await self._or_drain(asyncio.wait_for(self._office.starting, None))
            while await self._claim():
                await self._give_way()
            await self._source.close()
            await self._settle()
        finally:
            for task in (*tasks, *self._delivering, *self.attempts.values()):
                task.cancel()
            remember(self._settings.state_dir / TIMES, self._times)
            self.undelivered += 0 if self._outbox is None else self._outbox.left

    def adopt(self, story: Story, outbox: Outbox) -> None:
        """Take over what still runs of the worker before this one, and leave the rest of it to the outbox."""
        keeper = self._office.keeper
        found = adopt(self._office, self._settings, story, self._office.held, self._on_fault)
        spared = [*(pid for pid in keeper.keeper_pids if pid != keeper.serving_pid), *found.pids]
        outbox.spare(found.known, spared, found.blamed)
        for attempt in found.attempts:
            self._attend_to(attempt)

    def drain(self, reason: StopReason = StopReason.DRAIN, grace_s: float | None = None) -> None:
        """Stop claiming, and stop all attempts. Again: the same, with little patience."""
        again = self._draining.is_set() and self._ends is None and not self.leaving
        self._reason, self._ends, self._successor = reason, None, None
        self._draining.set()
        for attempt in [*self.attempts]:
            self._stop(attempt, min(grace_s or URGENT_S, URGENT_S) if again else grace_s)

    def end_at(self, left_s: float) -> None:
        """Stop claiming, and ask each attempt so late that it fits in before this machine ends, and no later."""
        loop, graces = asyncio.get_running_loop(), self._settings.graces
        left_s = max(0.0, left_s - graces.worker_margin_s - graces.task_margin_s)
        self._reason, self._ends, self._successor = StopReason.EVICT, loop.time() + left_s, None
        self._draining.set()
        for attempt in [*self.attempts]:
            delay = ask_in(self._times.needed(attempt.rhythm), left_s, graces.task_s, attempt.grace_s)
            loop.call_later(delay, self._stop, attempt, left_s - delay)

    def _stop(self, attempt: Attempt, grace_s: float | None) -> None:
        given = granted(self._settings.graces, attempt.grace_s, grace_s)
        if (why := shortfall(self._times.needed(attempt.rhythm), given)) is not None:
            attempt.notes.remark("the stop may be too short", why)
        attempt.stop(self._reason, grace_s)

    def _yield_one(self) -> bool:
        victim = choose({each: each.candidate() for each in self.attempts if not each.rhythm.stopping})
        if victim is not None:
            victim.notes.remark("asked to yield", "memory is short on this machine")
            victim.stop(StopReason.MEMORY_PRESSURE)
        return victim is not None

    async def _notice(self, where: str) -> None:
        moment = await noticed(where, self._settings.checkpoints.notice_every_s, self._settings.graces.pod_s)
        self._on_fault(f"this machine ends at {moment.isoformat()}: no more is claimed, and attempts are asked in time")
        self.end_at((moment - datetime.now(UTC)).total_seconds())

    async def _claim(self) -> bool:
        """Work until there is no more of it or no more is claimed: whether another worker is to go on."""
        while not self.draining and await self._work():
            pass
        return self.leaving

    async def _give_way(self) -> None:
        """Become another worker. If that could not be, go on as this one."""
        successor = self._successor
        assert successor is not None  # noqa: S101 - it is what called us
        await self._placed()
        if not self.leaving:  # somebody has drained us meanwhile
            return
        remember(self._settings.state_dir / TIMES, self._times)
        await successor()
        if self.leaving:  # nobody has drained us meanwhile
            self._successor = None
            self._draining.clear()

    async def _work(self) -> bool:
        """Fill what is free: whether there may be more to do."""
        free = self._settings.worker.slots - self._busy
        if free <= 0:
            self._room.clear()
            await self._or_drain(self._room.wait())
            return True
        try:
            workloads = await self._or_drain(self._source.take(free))
        except ApiRefused as refused:
            self._on_fault(f"the server refuses to give work: {refused}")
            self.refused = refused
            return False
        if self.draining and workloads is None:
            return False
        for workload in workloads or ():
            self._begin(workload)
        return workloads is not None

    async def _or_drain(self, waiting: Coroutine[Any, Any, T]) -> T | None:
        """Wait for this, unless a drain begins. What was claimed in the same moment is not lost: it is begun."""
        work = asyncio.ensure_future(waiting)
        drain = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait({work, drain}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
            return None if work.cancelled() else work.result()
        finally:
            drain.cancel()
            work.cancel()

    async def _ship(self) -> None:
        """Keep the server's copies of the logs fresh, one after the other: they are nobody's hurry."""
        while True:
            await asyncio.sleep(EVERY_S)
            for attempt in [*self.attempts]:
                await attempt.notes.ship()

    def _begin(self, workload: ExecuteTask) -> None:
        self._attend_to(Attempt(self._office, order_of(workload, self._settings)))

    def _attend_to(self, attempt: Attempt) -> None:
        self._busy += 1
        attempt.released.add_done_callback(self._freed)
        # After a reschedule the attempt that was is claimed anew, perhaps before its process has ended here.
        before = [task for each, task in self.attempts.items() if each.ti_id == attempt.ti_id]
        self.attempts[attempt] = asyncio.create_task(self._attend(attempt, before))
        if self.draining and not self.leaving:
            self._stop(attempt, None)

    def _freed(self, _: object) -> None:
        self._busy -= 1
        self._free_since = asyncio.get_running_loop().time()
        self._room.set()

    async def _attend(self, attempt: Attempt, before: list[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        try:
            self._on_record(await attempt.run())
        except Exception as error:  # noqa: BLE001 - a fault of ours in one attempt is not to end the others
            self._on_fault(f"attempt {attempt.ti_id}: {type(error).__name__}: {error}")
        finally:
            self._times.learn(attempt.rhythm)
            self.attempts.pop(attempt, None)

    def _last(self, began: float) -> float:
        """Say until when a drain waits that began then."""
        last = max(began, self._ends or began) + self._settings.graces.worker_s
        if self._telling_s is None or not all(attempt.idle for attempt in self.attempts):
            return last
        return min(last, max(began, self._free_since) + self._telling_s)

    async def _placed(self) -> None:
        """Wait until what was claimed has a process. What has none cannot be adopted, and would be lost when we go."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PLACED_S):
                for attempt in [*self.attempts]:
                    await attempt.placed.wait()

    async def _settle(self) -> None:
        """Wait for the attempts; in a drain, no longer than the worker's own grace."""
        began: float | None = None
        loop = asyncio.get_running_loop()
        while self.attempts or self._delivering:
            if self.draining and began is None:
                began = loop.time()
            left = None if began is None else self._last(began) - loop.time()
            if left is not None and left <= 0:
                self.undelivered = len(self.attempts)
                for attempt in self.attempts:
                    self._on_record(attempt.record())
                return
            running = [each.released for each in self.attempts if not each.released.done()]
            waiting: set[asyncio.Future[Any]] = {*self.attempts.values(), *self._delivering, *running}
            drain = asyncio.ensure_future(self._draining.wait())
            await asyncio.wait(
                waiting if self.draining else {*waiting, drain}, timeout=left, return_when="FIRST_COMPLETED"
            )
            drain.cancel()
