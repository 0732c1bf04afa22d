"""`ctx`: what a task knows of itself, and what it may ask.

A task gets it when it has a parameter of that name, and any code of the task by `runner.current()`. Everything in it
may be used from any thread of the task's process. From `async` code, `await asyncio.to_thread(ctx.save, …)` keeps the
loop free; the plain call works as well and blocks it for the time of a round trip.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

from protocol.messages.checkpoints import (
    BlobReference,
    CheckpointResult,
    CheckpointSaved,
    GetCheckpoint,
    SaveCheckpoint,
    StopReason,
)
from protocol.messages.control import ReportProgress
from protocol.messages.shape import Message
from protocol.messages.startup import StartupDetails
from protocol.messages.variables import MaskSecret
from runner.access import Connections, State, Variables, XComs, expect
from runner.blobs import BlobCorrupt, keep, kept, place_of, sweep
from runner.checkpoints import Checkpoint
from runner.client import Client
from runner.fingerprints import fingerprint, inputs_of
from runner.interrupts import Hook, Interrupts
from runner.logs import Log
from runner.outcomes import Checkpointed, Held
from runner.points import point

GENERATIONS = 2
"""The records that a server keeps."""


class Context:
    """One attempt, as its task sees it."""

    def __init__(
        self,
        greeting: StartupDetails,
        client: Client,
        interrupts: Interrupts,
        log: Log,
        blobs: str | Path | None = None,
    ) -> None:
        self.log = log
        self._greeting = greeting
        self._client = client
        self._ask = client.ask
        self._interrupts = interrupts
        self._store = blobs
        self._checkpoint: Checkpoint | None = None
        self._saved: list[str | None] = []
        self._fingerprint: Callable[[], str] = lambda: ""

    # --- what it is made of, when it is first asked for: most tasks need little of it, and each object is pages ---

    @cached_property
    def xcom(self) -> XComs:
        """What other tasks handed on, and what this one does."""
        return XComs(self._ask, self._greeting.ti)

    @cached_property
    def variables(self) -> Variables:
        """The variables of the installation."""
        return Variables(self._ask)

    @cached_property
    def connections(self) -> Connections:
        """The connections of the installation."""
        return Connections(self._ask)

    @cached_property
    def state(self) -> State:
        """What outlives the attempt."""
        return State(self._ask, self._greeting.ti)

    @cached_property
    def _blobs(self) -> str | None:
        ti = self._greeting.ti
        return None if self._store is None else place_of(self._store, ti.dag_id, ti.run_id, ti.task_id, ti.map_index)

    # --- which attempt ---

    @property
    def ti_id(self) -> UUID:
        """The attempt's id. It changes with each try."""
        return self._greeting.ti.id

    @property
    def flow(self) -> str:
        """The flow."""
        return self._greeting.ti.dag_id

    @property
    def run_id(self) -> str:
        """The run of the flow."""
        return self._greeting.ti.run_id

    @property
    def task_id(self) -> str:
        """The task."""
        return self._greeting.ti.task_id

    @property
    def map_index(self) -> int:
        """Which instance of a mapped task; -1 for a task that is not mapped."""
        return self._greeting.ti.map_index

    @property
    def try_number(self) -> int:
        """Which try, from 1."""
        return self._greeting.ti.try_number

    @property
    def params(self) -> dict[str, Any]:
        """What the run was started with."""
        return self._greeting.ti_context.dag_run.conf or {}

    # --- the stop ---

    @property
    def stopping(self) -> bool:
        """Whether the attempt is asked to stop."""
        return self._interrupts.stopping

    @property
    def stop_reason(self) -> StopReason | None:
        """Why, when that is known."""
        return self._interrupts.reason

    @property
    def deadline(self) -> datetime | None:
        """When the attempt is ended if it has not stopped by then; None while it is not asked to."""
        return self._interrupts.deadline

    def finished(self) -> None:
        """Say that the work is done although a stop interrupted it (`TaskInterrupted`): what is returned now counts."""
        self._interrupts.finished()

    def on_stop(self, hook: Hook) -> None:
        """Have a function called, in a thread of its own, when the attempt is asked to stop. The last one is first."""
        self._interrupts.on_stop(hook)

    # --- checkpoints ---

    @property
    def checkpoint(self) -> Checkpoint:
        """The record to resume from, as it was when the attempt began."""
        if self._checkpoint is None:
            self._interrupts.uses_checkpoints()
            self._checkpoint = self._resumable()
            if self._checkpoint:
                self._interrupts.on_record = True
            elif self._checkpoint.note:
                self.log.warning("the task begins anew", why=self._checkpoint.note)
        return self._checkpoint

    def _resumable(self) -> Checkpoint:
        """Ask for the record; for the one before it where its file is not what was saved."""
        asked = GetCheckpoint(self.fingerprint)
        for _ in range(GENERATIONS):
            result = expect(self._ask(asked), CheckpointResult)
            if result.hold is not None:
                raise Held(result.hold)
            found = Checkpoint(result.checkpoint, result.note)
            try:
                _ = found.blob
            except BlobCorrupt as corrupt:
                self.log.warning("a checkpoint is passed over", record=found.seq, why=str(corrupt))
                asked = GetCheckpoint(self.fingerprint, found.seq, str(corrupt)[:300])
            else:
                return found
        result = expect(self._ask(asked), CheckpointResult)
        return Checkpoint(result.checkpoint, result.note)

    def save(self, data: Any = None, *, progress: float | None = None, blob: str | Path | None = None) -> int:  # noqa: ANN401 - JSON
        """Save a checkpoint: safe when this returns, with its number. When the attempt is to stop, it stops here.

        `data` is JSON. A large thing goes into a file, its path into `blob`: it is copied to where checkpoints are.
        `progress` grows with the work done; it tells a task that gets on from one that crashes at each resume.
        """
        self._interrupts.uses_checkpoints()
        before = [] if self._blobs is None or not any(self._saved) else kept(self._blobs)
        reference = None if blob is None else self._keep(Path(blob))
        point("child.save.blob-kept")
        saved = expect(self._ask(SaveCheckpoint(data, reference, progress, self.fingerprint)), CheckpointSaved)
        point("child.save.acknowledged")
        self._interrupts.on_record = True
        self._saved = [*self._saved[-1:], reference.uri if reference else None]
        if self._blobs is not None and len(self._saved) == GENERATIONS:
            sweep(self._blobs, before, [uri for uri in self._saved if uri])
        if saved.stopping or self._interrupts.stopping:
            self._interrupts.stops_at_save()
            raise Checkpointed(f"stopped on checkpoint {saved.seq}")
        return saved.seq

    def _keep(self, file: Path) -> BlobReference:
        if self._blobs is None:
            raise ValueError("ctx.save(blob=…) needs a place for files: set the worker's blob directory")
        return keep(file, self._blobs)

    def runs(self, function: Callable[..., Any], inputs: Mapping[str, Any], schema: object = None) -> None:
        """Take what its checkpoints are made by: a record of another code, or of other inputs, is not resumed silently.

        The inputs are looked at now, because the task may change them; its code when it is first asked for.
        """
        digest = inputs_of({**inputs, "": self.params})
        self._fingerprint = lambda: fingerprint(function, digest(), schema)

    @cached_property
    def fingerprint(self) -> str | None:
        """What wrote this attempt's checkpoints: code, inputs and schema."""
        return self._fingerprint() or None

    # --- anything else ---

    def ask(self, message: Message) -> Message | None:
        """Ask any question of the wire. Its answer is the reply, an error that counts as one, or None for "done"."""
        return self._client.ask(message)

    async def aask(self, message: Message) -> Message | None:
        """Ask without blocking the loop."""
        from runner.coroutines import aask as ask_in_loop  # noqa: PLC0415 - who awaits this has asyncio already

        return await ask_in_loop(self._client, message)

    def beat(self, progress: float | None = None) -> None:
        """Say that the task gets on: what its progress timeout, if it has one, waits for."""
        self._ask(ReportProgress(progress))

    def mask(self, value: Any, name: str | None = None) -> None:  # noqa: ANN401 - JSON
        """Hide a value in the attempt's log and errors from now on."""
        self._ask(MaskSecret(value, name))


_current: Context | None = None


def current() -> Context:
    """Give the context of the task that this process runs."""
    if _current is None:
        raise LookupError("no task runs here: runner.current() is for code that a task calls")
    return _current


def ask(message: Message) -> Message | None:
    """`ctx.ask`, for code that has no `ctx`."""
    return current().ask(message)


async def aask(message: Message) -> Message | None:
    """`ctx.aask`, for code that has no `ctx`."""
    return await current().aask(message)


def make_current(context: Context | None) -> None:
    """Say which task this process runs."""
    global _current  # noqa: PLW0603 - one process runs one task, and that is what this says
    _current = context
