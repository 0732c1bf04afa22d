"""Children: scripts over the real end of the conversation that a runner has.

A script is a generator. It yields what it does (`Sleep`, or a message that it asks) and gets the answer; what it
returns is its exit code. A child that is asked to stop gets `Stopped` raised where it sleeps, as a task does whose main
thread is interrupted, unless it is deaf to signals. What the child knows is written down for `watch`: what was
acknowledged to it, and what it was given to resume from.
"""

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from protocol.messages.checkpoints import CheckpointResult, CheckpointSaved, CheckpointTask, GetCheckpoint
from protocol.messages.checkpoints import SaveCheckpoint as Save
from protocol.messages.outcomes import RescheduleTask, RetryTask, SucceedTask, TaskState
from protocol.messages.shape import Message
from protocol.messages.startup import StartupDetails
from protocol.session import Answered, Ended, Failed, Greeted, RunnerSession, Told
from protocol.vocabulary import TERMINAL
from tests.simulation.pipes import End
from tests.simulation.watch import Watch
from tests.simulation.world import Party

TERM, KILL = 15, 9
BOOT_S = 0.02
STEP_S = 0.001
LOST = 74
"""What our runner exits with when its supervisor is gone."""


class Sleep(Struct, frozen=True):
    """Work for so long."""

    seconds: float


class Stopped(Exception):
    """It was asked to stop."""


class Unheard(Exception):
    """A question was answered with an error."""


Script = Generator[Sleep | Message, Any, int]


class Manner(Struct, frozen=True):
    """What one attempt's child does."""

    work_s: float
    steps: int = 1
    saves: bool = False
    ends: str = "success"
    """A terminal state, `exit N`, `signal` or `hang`."""
    lingers_s: float = 0.0
    """How long it goes on after its last word."""
    deaf: bool = False
    """Whether it takes no notice of SIGTERM."""
    slips: bool = False
    """Whether it has closed its leash (decision 0042): the kernel does not end it with keeper and supervisor."""
    on_stop: str = "die"
    """`die`, or `checkpoint`."""


class Process(Party):
    """One process of an attempt."""

    def __init__(self, watch: Watch, attempt: str, pid: int, manner: Manner, end: End | None) -> None:
        super().__init__(watch.world, watch.name_of(attempt))
        self.attempt = attempt
        self.pid = pid
        self.manner = manner
        self.code: int | None = None
        self.signal: int | None = None
        self.ours: End | None = None
        """The end of its channel that others hold."""
        self.on_end: Callable[[], None] = lambda: None
        self.began = 0.0
        self.said = ""
        """Its last word."""
        self.heard = False
        """Whether it knows that its last word was taken."""
        self.home: object = None
        """Whose machine it runs on."""
        self.frames = end is not None
        """Whether it speaks."""
        self.owner: Party | None = None
        self.keeper: Party | None = None
        self._watch = watch
        self._end = end
        self._session = RunnerSession()
        self._script: Script | None = None
        self._asked: Message | None = None
        self._asleep = 0
        """Which sleep it is in; 0 when it is in none."""
        self._sleeps = 0
        self._stopping = False
        self._may_retry = False
        if end is not None:
            end.holders.add(self)
            end.news = lambda: self.later(STEP_S * self.world.random.random(), self._hear)
        else:
            self._begin(self._plainly(), BOOT_S)

    @property
    def abandoned(self) -> bool:
        """Whether supervisor and keeper are both gone."""
        return not any(holder is not None and holder.alive for holder in (self.owner, self.keeper))

    # --- its life -----------------------------------------------------------------------------------------------------

    def _begin(self, script: Script, after_s: float) -> None:
        self._script = script
        self.later(after_s, self._start)

    def _start(self) -> None:
        self._watch.begins(self)
        self._go(None)

    def _go(self, value: object) -> None:
        """Let the script go on to its next wait."""
        assert self._script is not None
        try:
            wish = self._script.throw(value) if isinstance(value, Exception) else self._script.send(value)
        except StopIteration as done:
            self.exit(code=done.value)
        except (Stopped, Unheard, BrokenPipeError):
            self.exit(code=LOST if self._lost else 1)
        else:
            self._wait_for(wish)

    @property
    def _lost(self) -> bool:
        return self._end is not None and self._end.over

    def _wait_for(self, wish: Sleep | Message) -> None:
        if isinstance(wish, Sleep):
            self._sleeps += 1
            number = self._asleep = self._sleeps
            self.later(wish.seconds, lambda: self._wake(number))
            return
        assert self._end is not None
        if self._end.over:
            self.exit(code=LOST)
            return
        number, data = self._session.ask(wish)
        self._asked = wish
        self._watch.asks(self, number, wish)
        try:
            self._end.send(data)
        except BrokenPipeError:
            self.exit(code=LOST)

    def _wake(self, number: int) -> None:
        if number == self._asleep:
            self._asleep = 0
            self._go(None)

    def receive(self, number: int) -> None:
        """Be sent a signal."""
        if not self.alive:
            return
        self.tell(f"gets signal {number}")
        if number == KILL:
            self.exit(signal=KILL)
        elif number == TERM and not self.manner.deaf and not self._stopping:
            self._stopping = True
            if self._script is None or self.manner.on_stop == "die":
                self.exit(signal=TERM)
            elif self._asleep:
                self._asleep = 0
                self._go(Stopped())

    def exit(self, code: int | None = None, signal: int | None = None) -> None:
        """End."""
        if not self.alive:
            return
        self.code, self.signal = code, signal
        self.tell(f"ends with {f'code {code}' if signal is None else f'signal {signal}'}")
        self.alive = False
        self._script = None
        if self._end is not None:
            self._end.let_go(self)
        self._watch.ends(self)
        self.on_end()

    # --- what it hears ------------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        assert self._end is not None
        told = self._session.receive(self._end.take()) if self._end.inbox else []
        if self._end.over and not self._end.inbox:
            told += self._session.receive_end()
        for each in told:
            if self.alive:
                self._heard(each)
        if self._session.late:
            self._watch.wrong(f"{self.name} got an answer to a question that was answered before")

    def _heard(self, told: Told) -> None:
        match told:
            case Greeted(message) if isinstance(message, StartupDetails):
                self._may_retry = message.ti_context.should_retry
                self._begin(self._politely(), BOOT_S)
            case Answered(number, reply):
                self._answered(number, reply)
            case Failed(number, _):
                self._answered(number, Unheard())
            case Ended() if self._script is None or self._asked is not None:
                self.exit(code=LOST)
            case Ended():
                pass
            case _:
                self._watch.wrong(f"{self.name} cannot understand what it hears: {told}")

    def _answered(self, number: int, reply: Message | Unheard | None) -> None:
        asked, self._asked = self._asked, None
        self._watch.answered(self, number)
        if isinstance(reply, Unheard):
            self.tell(f"is refused {type(asked).__name__}")
        elif type(asked) in TERMINAL:
            self._watch.acknowledged(self, asked)
        if self._stopping and self._script is not None and type(asked) not in TERMINAL:
            self._go(Stopped())
        else:
            self._go(reply)

    # --- what it does -------------------------------------------------------------------------------------------------

    def _politely(self) -> Script:
        """As a task of our runner."""
        manner, step = self.manner, -1
        try:
            found: CheckpointResult = yield GetCheckpoint()
            step = self._watch.resumes(self, found)
            while step < manner.steps:
                yield Sleep(manner.work_s / manner.steps)
                step += 1
                if manner.saves:
                    saved: CheckpointSaved = yield Save(data={"step": step}, progress=float(step))
                    if saved.stopping:  # the record may be on its way with the last word only
                        raise Stopped  # noqa: TRY301 - as `ctx.save` does
                    self._watch.saved(self, step)
            word = self._word()
        except Stopped:
            last = CheckpointTask(self.world.wall)
            word = last if step < 0 else replace(last, data={"step": step}, progress=float(step))
        except Unheard:
            word = self._failure()
        if word is not None:
            yield word
        yield Sleep(manner.lingers_s)
        if manner.ends == "hang":
            yield Sleep(1e6)
        return self._code()

    def _word(self) -> Message | None:
        now = self.world.wall
        words: dict[str, Message] = {
            "success": SucceedTask(now),
            "failed": TaskState("failed", now),
            "skipped": TaskState("skipped", now),
            "up_for_retry": self._failure(),
            "up_for_reschedule": RescheduleTask(now + timedelta(seconds=1), now),
        }
        return words.get(self.manner.ends)

    def _failure(self) -> Message:
        """As our runner: another try while the server has said that there is one."""
        return RetryTask(self.world.wall) if self._may_retry else TaskState("failed", self.world.wall)

    def _code(self) -> int:
        what, _, number = self.manner.ends.partition(" ")
        if what == "signal":
            self.exit(signal=11)
        return int(number) if what == "exit" else 0

    def _plainly(self) -> Script:
        """As a program that knows nothing of us."""
        yield Sleep(self.manner.work_s)
        if self.manner.ends == "hang":
            yield Sleep(1e6)
        return self._code()
