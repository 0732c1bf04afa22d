"""An attempt's lifecycle under a clock that only moves when it is told to."""

from typing import Any

from msgspec.structs import replace

from protocol.states import TaskInstanceState
from supervisor import events as ev
from supervisor.deadlines import Limits
from supervisor.events import Action, Event, Policy
from supervisor.lifecycle import Lifecycle
from supervisor.machines import Do
from supervisor.stopping import Graces

LIMITS = Limits(boot_s=60.0, execution_s=None, progress_s=None, overtime_s=20.0)
GRACES = Graces()
SUCCESS, FAILED = TaskInstanceState.SUCCESS, TaskInstanceState.FAILED
GRANTED = ev.Granted(30.0, retries_left=False)


class Story:
    """An attempt and its clock."""

    def __init__(self, **policy: Any) -> None:
        self.now = 100.0
        self.core = Lifecycle(replace(Policy(limits=LIMITS, graces=GRACES), **policy), b"seed")

    def on(self, *events: Event) -> list[Do | tuple[Do, int]]:
        """Let things happen; give what is to be done after the last one."""
        done: list[Action] = []
        for event in events:
            done = self.core.handle(event, self.now)
        return [(each.do, each.signal) if each.do is Do.SIGNAL else each.do for each in done]

    def wait(self) -> list[Do | tuple[Do, int]]:
        """Let time pass until the next deadline."""
        deadline = self.core.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline)
        return self.on(ev.Tick())

    def quiet_for(self, seconds: float) -> list[Do | tuple[Do, int]]:
        """Let time pass, with every heartbeat taken; give what was done besides."""
        until = self.now + seconds
        found: list[Do | tuple[Do, int]] = []
        while (deadline := self.core.next_deadline()) is not None and deadline <= until:
            done = self.wait()
            if Do.BEAT in done:
                self.on(ev.BeatTaken())
            found += [each for each in done if each is not Do.BEAT]
        self.now = until
        return found

    @property
    def row(self) -> str:
        assert self.core.verdict is not None
        return self.core.verdict.row


def begun(**policy: Any) -> Story:
    """A child that was greeted."""
    story = Story(**policy)
    assert story.on(ev.Begun()) == [Do.SPAWN]
    assert story.on(ev.Spawned()) == [Do.START]
    assert story.on(GRANTED) == [Do.GREET]
    return story


def working(**policy: Any) -> Story:
    story = begun(**policy)
    assert story.on(ev.Heard()) == []
    return story
