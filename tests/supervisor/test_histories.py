"""Any history of an attempt, however absurd, keeps its promises: nothing twice, nothing lost, nothing unfinished."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.messages.checkpoints import StopReason
from supervisor import events as ev
from supervisor.deadlines import Limits
from supervisor.events import Event
from supervisor.machines import Do, Report
from supervisor.outcome import Exit
from tests.supervisor.stories import FAILED, GRANTED, SUCCESS, Story

EVENTS: list[Event] = [
    ev.Spawned(), ev.Unspawned(), GRANTED, ev.Refused(), ev.Heard(), ev.Progressed(), ev.Limited(1.0), ev.Saved(),
    ev.Spoke(SUCCESS), ev.Spoke(FAILED), ev.Accepted(), ev.Declined(), ev.Fenced(), ev.BeatTaken(), ev.BeatRefused(),
    ev.BeatLost(), ev.StopAsked(StopReason.DRAIN), ev.StopAsked(StopReason.USER_KILL, 1.0), ev.Broke(), ev.HungUp(),
    ev.Exited(Exit.ZERO), ev.Exited(Exit.SIGNAL), ev.Tick(),
]  # fmt: skip


@given(st.booleans(), st.lists(st.tuples(st.sampled_from(EVENTS), st.floats(0.0, 40.0)), max_size=40))
def test_any_history_keeps_the_promises(talks: bool, history: list[tuple[Event, float]]) -> None:  # noqa: FBT001 - hypothesis gives it by position
    story = Story(talks=talks, limits=Limits(1.0, 5.0, 3.0, 2.0))
    done = story.on(ev.Begun())
    for event, passed in history:
        story.now += passed
        told = story.core.report is Report.TOLD
        step = story.on(event)
        assert not (told and {Do.TELL, Do.REPORT} & set(step)), "told twice"
        assert story.core.verdict is not None or not story.core.finished
        done += step
    assert done.count(Do.RELEASE) <= 1
    assert done.count(Do.FINISH) <= 1
    assert done.count(Do.SPAWN) <= 1
    assert done.count(Do.START) <= 1
    assert (Do.FINISH in done) == story.core.finished
    assert (Do.RELEASE in done) == story.core.gone
