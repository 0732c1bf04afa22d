"""asyncio's loop on the world's clock: one for each life of a party, and gone with it.

Only what our code uses is here. A callback is a step of the world, so callbacks of different parties are as far apart
as the world has them. What would run in a thread runs in one step, a little later.
"""

import asyncio
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from tests.simulation.world import Party

THREAD_S = 0.0005
MOST_CLOSINGS = 50


_Loop: Any = asyncio.AbstractEventLoop


class Handle:
    """A callback that is a step itself. It has what asyncio uses of a handle; its own costs as much as a step."""

    __slots__ = ("_args", "_callback", "_context", "_loop")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], loop: "SimLoop", context: Context | None
    ) -> None:
        self._callback: Callable[..., object] | None = callback
        self._args = args
        self._loop = loop
        self._context = copy_context() if context is None else context

    def cancel(self) -> None:
        """Do nothing when its time comes. Twice is fine."""
        self._callback = None
        self._args = ()

    def cancelled(self) -> bool:
        """Whether it will do nothing."""
        return self._callback is None

    def __call__(self) -> None:
        """Run, unless it was cancelled."""
        if self._callback is None:
            return
        loop = self._loop
        if loop.world.running is not loop:
            loop.world.running = loop
            events._set_running_loop(loop)  # noqa: SLF001 - what every loop that is not asyncio's own has to call
        try:
            self._context.run(self._callback, *self._args)
        except BaseException as error:  # noqa: BLE001 - the world raises what is no fault
            loop.call_exception_handler({"exception": error})


class SimLoop(_Loop):  # type: ignore[misc]  # what we do not use of it is not here, and signatures are simpler
    """One party's loop. It has as much of a loop as Taskhand needs."""

    def __init__(self, party: Party) -> None:
        self.party = party
        self.readers: dict[int, Callable[[], object]] = {}
        self.on_reader: Callable[[int], None] = lambda _: None
        """Called when somebody begins to listen to a fd."""
        self.world = party.world
        self._tasks: list[asyncio.Task[Any]] = []

    # --- callbacks and time -------------------------------------------------------------------------------------------

    def time(self) -> float:
        return self.world.now

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Handle:
        handle = Handle(callback, args, self, context)
        self.world.soon(self.party, handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, self, context)
        self.world.at(when, self.party, handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, self, context)
        self.world.at(self.world.now + delay, self.party, handle)
        return handle

    def enter(self, what: Callable[[], object]) -> None:
        """Do something as the party's own step, now."""
        acting, self.world.acting = self.world.acting, self.party
        try:
            Handle(what, (), self, None)()
        finally:
            self.world.acting = acting

    # --- tasks and futures --------------------------------------------------------------------------------------------

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: object = None, context: Context | None = None
    ) -> "asyncio.Task[Any]":
        del name
        task = asyncio.Task(coro, loop=self, name="", context=context)  # a name that is given is not made up
        self._tasks.append(task)
        return task

    def begin(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Callable[[], bool]:
        """Begin what nobody waits for: what it raises is a fault of ours. Gives what says whether it is done."""
        return self.create_task(self._watched(work)).done

    async def _watched(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            await work()
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - any fault of ours ends the history
            if self.party.alive:
                self.world.fault(error)

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        del executor
        done = self.create_future()

        def work() -> None:
            if done.cancelled():
                return
            try:
                done.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 - as a thread would hand it over
                done.set_exception(error)

        self.call_later(self.world.between(0, THREAD_S), work)
        return done

    # --- sockets ------------------------------------------------------------------------------------------------------

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        self.readers[fd] = lambda: callback(*args)
        self.on_reader(fd)

    def remove_reader(self, fd: int) -> bool:
        return self.readers.pop(fd, None) is not None

    # --- faults and the end -------------------------------------------------------------------------------------------

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return not self.party.alive

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A fault of ours that nobody caught ends the history."""
        error = context.get("exception")
        if self.party.alive and isinstance(error, BaseException):
            self.world.fault(error)

    def end(self) -> None:
        """Forget all that was under way, as a process that is killed does. Nothing that this closes reaches anyone."""
        tasks, self._tasks = self._tasks, []
        events._set_running_loop(self)  # noqa: SLF001 - some `finally` asks for it
        for task in tasks:
            if task.done():
                continue
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it is killed, not forgotten
            _close(task.get_coro())
        self.world.running = None
        events._set_running_loop(None)  # noqa: SLF001 - as above
        self.readers.clear()


def _close(coroutine: Any) -> None:
    """Take a coroutine apart, which may wait in its `finally` again and again."""
    for _ in range(MOST_CLOSINGS):
        try:
            coroutine.close()
        except BaseException:  # noqa: BLE001, S112 - nobody is left who could hear of it
            continue
        return
