"""The supervisor's side of the keeper: start one, have it spawn, learn how each child ended, whatever happens to it.

    client = KeeperClient(KeeperSettings(...), on_warning=print)
    await client.start()
    child = await client.spawn(SpawnRequest("attempt-1", Kind.PYTHON))
    client.kill(child, signal.SIGTERM, Scope.LEADER)
    ending = await child.wait()
    await client.stop()

The caller owns the channel ends of a `Child` and closes them; the pidfd is ours. Three things can happen to a keeper
behind the caller's back, and none of them loses an attempt:

- it dies: its children have fallen to us (we are their subreaper), and `fosterage` does for them what the keeper did;
- what it has imported changes on disk: the next spawn waits for a fresh one, and the old one ends with its last child;
- it cannot be started (the new code does not import): spawning fails and says why, those who run are not touched.
"""

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Callable
from functools import partial
from itertools import count

import msgspec

from supervisor.keeper import cgroups, doors
from supervisor.keeper.children import SLATE, Child, Ending, SpawnError
from supervisor.keeper.fosterage import Fosterage
from supervisor.keeper.leftovers import remove, sweep, sweep_one
from supervisor.keeper.link import (
    Exited,
    Forget,
    Held,
    Kill,
    Kind,
    Packet,
    Reaped,
    Release,
    Scope,
    Spawn,
    Spawned,
    SpawnFailed,
    SpawnRequest,
    TooLargeError,
    ToSupervisor,
)
from supervisor.keeper.native import become_subreaper
from supervisor.keeper.process import KeeperError, KeeperKilledError, KeeperProcess, KeeperSettings, Pending
from supervisor.keeper.reserve import FdReserve
from supervisor.points import point
from supervisor.slate import blank

__all__ = [
    "Child", "Ending", "KeeperClient", "KeeperError", "KeeperSettings", "Kind", "Scope", "SpawnError", "SpawnRequest",
]  # fmt: skip

NO_FD = -1
STARTS = 3
"""How many keepers are started in a row that are killed before they are ready."""


class KeeperClient:
    """The keeper that serves, those that end with their last child, and every child of all of them."""

    def __init__(self, settings: KeeperSettings, on_warning: Callable[[str], None] = lambda _: None) -> None:
        self.children: dict[str, Child] = {}
        self._settings = settings
        self._warn = on_warning
        self._numbers = count(1)
        self._reserve = FdReserve()
        self._serving: KeeperProcess | None = None
        self._keepers: set[KeeperProcess] = set()
        self._starting: asyncio.Task[KeeperProcess] | None = None
        self._foster: Fosterage | None = None
        self._kept: dict[str, KeeperProcess] = {}
        """Which keeper keeps how an attempt ended, or will."""
        self._found: list[Child] = []
        self._place: str | None = None
        self._chores: set[asyncio.Future[object]] = set()
        self._checked = 0.0
        self._stopped = False

    @property
    def keeper_pids(self) -> list[int]:
        """Name the keepers that live."""
        return sorted(keeper.pid for keeper in self._keepers)

    @property
    def open_files(self) -> int | None:
        """Say how many files children may have open, where that is not what we may."""
        return self._settings.open_files

    @property
    def serving_pid(self) -> int | None:
        """Name the keeper that would get the next child."""
        return self._serving.pid if self._serving else None

    @property
    def pending(self) -> list[str]:
        """Name the attempts that are being started."""
        return [pending.request.attempt for keeper in self._keepers for pending in keeper.pending.values()]

    async def adopt(self) -> list[Child]:
        """Find the keepers that outlived their supervisor: their children, those that ended meanwhile too.

        Called before `start`. Who of them is not wanted is killed by the caller, and who is has to be forgotten.
        """
        self._prepare()
        self._found.clear()
        places = [] if self._settings.doors is None else doors.found(self._settings.doors)
        await asyncio.gather(*map(self._join, places))
        return self._found

    async def _join(self, path: str) -> None:
        keeper = KeeperProcess(self._settings, self._heard, self._gone, self._reserve)
        self._keepers.add(keeper)
        if not await keeper.join(path):
            self._keepers.discard(keeper)

    async def start(self) -> None:
        """Start the first keeper. Raises KeeperError when it cannot; starting twice is fine."""
        self._prepare()
        await self._server()

    def _prepare(self) -> None:
        self._stopped = False
        if self._foster is None:
            become_subreaper()
            if self._settings.cgroup == "auto":
                self._place = cgroups.prepare()
                self._settings = msgspec.structs.replace(self._settings, cgroup=self._place)
            self._foster = Fosterage(self._settings.cgroup, lambda: self.keeper_pids, self._end)
            self._do(sweep, self._settings.tmp_root)

    async def spawn(self, request: SpawnRequest, slate: int | None = None) -> Child:
        """Start a child, or raise SpawnError. When this is cancelled the child is killed, if it came to be.

        Its slate is ours from now on, and the child's when there is one.

        A keeper that dies with our wish in its hands may have forked or not. A child that speaks frames has done
        nothing before it is greeted, so it is ended, and started again by the next keeper; any other may have run.
        """
        slate = blank() if slate is None else slate
        try:
            child = await self._spawned(request, slate)
            if child is None and request.frames:
                child = await self._spawned(request, slate)
        except BaseException:
            os.close(slate)
            raise
        if child is None:
            os.close(slate)
            raise SpawnError("the keeper died while starting it", ran=not request.frames)
        return child

    def kill(self, child: Child, number: int, scope: Scope = Scope.LEADER) -> None:
        """Signal a child, or its group, or (SIGKILL) all who came from it. Nothing happens when it has ended."""
        if child.ended.done() or (self._foster is not None and self._foster.deliver(child, number, scope)):
            return
        if scope is Scope.LEADER:  # needs nobody: the pidfd is the process
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.pidfd, number)
            return
        keeper = self._keeper_of(child)
        if keeper is not None:
            keeper.say(Kill(child.attempt, number, scope))

    def release(self, child: Child) -> None:
        """Have the keeper close its duplicates: from now on the child notices when the caller closes its ends."""
        keeper = self._keeper_of(child)
        if keeper is not None:
            keeper.say(Release(child.attempt))

    def forget(self, child: Child) -> None:
        """Have nobody keep how it ended, or will: its outcome is in safety. Twice is fine."""
        keeper = self._kept.pop(child.attempt, None)
        if keeper is not None:
            keeper.say(Forget(child.attempt))

    async def stop(self) -> None:
        """End all children, then the keepers. Twice is fine, and before `start` too."""
        self._stopped = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        children = list(self.children.values())
        for child in children:
            self.kill(child, signal.SIGKILL, Scope.TREE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stop_within_s):
                await asyncio.gather(*(child.wait() for child in children))
        self._serving = None
        for attempt, keeper in self._kept.items():
            keeper.say(Forget(attempt))
        self._kept.clear()
        await asyncio.gather(*(self._put_away(keeper) for keeper in list(self._keepers)))
        await asyncio.gather(*self._chores, return_exceptions=True)
        if self._place is not None:
            cgroups.forget(self._place)
            self._settings = msgspec.structs.replace(self._settings, cgroup="auto")
            self._place = self._foster = None

    async def leave(self) -> None:
        """End, as `stop` does, and touch no child that another supervisor can find: for one that came to nothing."""
        for keeper in {*self._kept.values()} & self._keepers:
            self._keepers.discard(keeper)
            self._serving = None if self._serving is keeper else self._serving
            for child in [*keeper.children.values()]:
                self.children.pop(child.attempt, None)
            keeper.let_go()
        self._kept.clear()
        await self.stop()

    async def _spawned(self, request: SpawnRequest, slate: int) -> Child | None:
        """Try once: None when the keeper died over it."""
        if self._stopped or self._foster is None:
            raise SpawnError("the keeper is not started, or was stopped")
        if request.attempt in self.children:
            raise SpawnError(f"attempt {request.attempt} runs already")
        try:
            keeper = await self._server()
            self._reserve.take()
        except KeeperError as error:
            raise SpawnError(str(error)) from error
        except OSError as error:
            raise SpawnError(f"no file descriptors for another child: {error.strerror}") from error
        number = next(self._numbers)
        answer: asyncio.Future[Child | None] = asyncio.get_running_loop().create_future()
        keeper.pending[number] = Pending(request, slate, answer)
        try:
            keeper.say(Spawn(number, request), (slate,))
            point("child.asked")
        except TooLargeError as error:
            del keeper.pending[number]
            self._reserve.give_back()
            raise SpawnError(str(error)) from error
        try:
            # Two thousand wishes at once take it a minute on a busy machine: a keeper that answers others works.
            began = asyncio.get_running_loop().time()
            while not answer.done() and (left := keeper.patience_s(began)) > 0:
                await asyncio.wait([answer], timeout=left)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        if not answer.done():
            self._warn(f"keeper {keeper.pid} does not answer and is killed; its children fall to us")
            await keeper.end_now()
        return await answer

    async def _server(self) -> KeeperProcess:
        """Give the keeper for the next child: a fresh one if the code on disk is not what the old one imported."""
        serving, now = self._serving, asyncio.get_running_loop().time()
        if serving is not None and now - self._checked >= self._settings.recheck_s:
            self._checked = now
            changed = await asyncio.to_thread(serving.changed_files)
            if changed and self._serving is serving:
                self._warn(f"a new keeper is started, because {changed[0]} has changed")
                self._serving = None
                serving.retire()
        if self._serving is not None:
            return self._serving
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start_one())
        return await asyncio.shield(self._starting)

    async def _start_one(self) -> KeeperProcess:
        for _ in range(STARTS - 1):
            try:
                return await self._start()
            except KeeperKilledError as killed:
                self._warn(f"{killed}; another is started")
        return await self._start()

    async def _start(self) -> KeeperProcess:
        keeper = KeeperProcess(self._settings, self._heard, self._gone, self._reserve)
        self._keepers.add(keeper)
        try:
            ready = await keeper.start()
        finally:
            if keeper.ready is None:
                self._keepers.discard(keeper)
        for warning in ready.warnings:
            self._warn(warning)
        self._checked = asyncio.get_running_loop().time()
        self._serving = keeper
        return keeper

    async def _put_away(self, keeper: KeeperProcess) -> None:
        keeper.retire()
        try:
            async with asyncio.timeout(self._settings.stop_within_s):
                await keeper.wait()
        except TimeoutError:
            self._warn(f"keeper {keeper.pid} did not end within {self._settings.stop_within_s:g} s and is killed")
            await keeper.end_now()

    def _keeper_of(self, child: Child) -> KeeperProcess | None:
        return next((keeper for keeper in self._keepers if child.attempt in keeper.children), None)

    # What keepers say.

    def _heard(self, keeper: KeeperProcess, message: ToSupervisor, packet: Packet) -> None:
        match message:
            case Spawned():
                self._spawn_succeeded(keeper, message, packet)
            case Held():
                self._take_over(keeper, message, packet)
            case SpawnFailed(seq, _, reason):
                pending = keeper.pending.pop(seq, None)
                if pending is not None:  # else it was asked for by the supervisor before us
                    self._reserve.give_back()
                    if not pending.answer.done():
                        pending.answer.set_exception(SpawnError(reason))
            case Exited(attempt) if attempt in keeper.children:
                keeper.children[attempt].tell_exit(message)
            case Reaped(attempt) if attempt in keeper.children:
                self._end(keeper.children.pop(attempt), message)

    def _spawn_succeeded(self, keeper: KeeperProcess, message: Spawned, packet: Packet) -> None:
        pending = keeper.pending.pop(message.seq)
        if packet.cut or len(packet.fds) != (5 if pending.request.frames else 3):
            for fd in packet.fds:
                os.close(fd)
            keeper.say(Kill(message.attempt, signal.SIGKILL, Scope.TREE))
            if not pending.answer.done():
                pending.answer.set_exception(
                    SpawnError(f"its channels were lost: {os.strerror(errno.EMFILE)}", ran=True)
                )
            return
        packet.fds.insert(SLATE, NO_FD if pending.answer.done() or self._stopped else pending.slate)
        child = Child(pending.request, message.pid, packet.fds, message.tmpdir)
        child.warnings = message.warnings
        self._know(keeper, child)
        if pending.answer.done() or self._stopped:  # whoever asked has given up
            if not pending.answer.done():
                pending.answer.set_exception(SpawnError("the keeper was stopped", ran=True))
            child.close_channel_ends()
            self.kill(child, signal.SIGKILL, Scope.TREE)
        else:
            pending.answer.set_result(child)

    def _take_over(self, keeper: KeeperProcess, held: Held, packet: Packet) -> None:
        """A child of a supervisor that is gone. One whose channels are lost is beyond reach, and is killed."""
        if packet.cut or len(packet.fds) != (6 if held.frames else 4):
            for fd in packet.fds:
                os.close(fd)
            keeper.say(Kill(held.attempt, signal.SIGKILL, Scope.TREE))
            keeper.say(Forget(held.attempt))
            return
        request = SpawnRequest(held.attempt, held.kind, frames=held.frames)
        child = Child(request, held.pid, packet.fds, held.tmpdir)
        self._know(keeper, child)
        self._found.append(child)

    def _know(self, keeper: KeeperProcess, child: Child) -> None:
        keeper.children[child.attempt] = self.children[child.attempt] = child
        if self._settings.doors is not None:
            self._kept[child.attempt] = keeper

    def _end(self, child: Child, reaped: Reaped | None) -> None:
        self.children.pop(child.attempt, None)
        if reaped is None or reaped.litter:
            self._do(remove, child.tmpdir)
        child.tell_end(reaped)

    def _do(self, chore: Callable[[str], object], folder: str) -> None:
        doing = asyncio.get_running_loop().run_in_executor(None, chore, folder)
        self._chores.add(doing)
        doing.add_done_callback(self._chores.discard)

    def _gone(self, keeper: KeeperProcess) -> None:
        """A keeper has ended: as it should, or with children and wishes in its hands."""
        self._keepers.discard(keeper)
        self._kept = {attempt: other for attempt, other in self._kept.items() if other is not keeper}
        was_serving = self._serving is keeper
        if was_serving:
            self._serving = None
        assert self._foster is not None  # noqa: S101 - keepers are started after it is made
        self._foster.take(keeper.children.values(), keeper.leash)
        self._foster.end_strays()
        known = {child.tmpdir for child in keeper.children.values()}
        self._do(partial(sweep_one, keeper.pid, known), self._settings.tmp_root)
        for pending in keeper.pending.values():
            self._reserve.give_back()
            if not pending.answer.done():
                pending.answer.set_result(None)
        if was_serving and not self._stopped:
            self._warn(
                f"keeper {keeper.pid} died with {len(keeper.children)} children, which fall to us; another is started"
            )
