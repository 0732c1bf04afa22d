"""An attempt whose server is silent: when it is stopped, and by when it is gone."""

from typing import Any

import pytest
from msgspec.structs import replace

from protocol.messages.checkpoints import StopReason
from supervisor import events as ev
from supervisor.machines import Do
from supervisor.outcome import Exit
from supervisor.stopping import CAPTURE_S, KILL, TERM
from supervisor.tenure import Outage
from tests.supervisor.stories import GRACES, GRANTED, Story, working


def silence(story: Story) -> list[Any]:
    """Let no heartbeat be answered until something else is to be done."""
    done: list[Any] = []
    while not done or done == [Do.BEAT]:
        done = story.wait()
        story.on(ev.BeatLost())
    return done


@pytest.mark.parametrize(
    ("outage", "began", "patience_s"),
    [
        (Outage(), 20.0, 8.0 - CAPTURE_S),
        (Outage("stop_after"), 20.0, GRACES.short_s),
        (Outage("stop_after", 9.0), 9.0, GRACES.short_s),
        (Outage("checkpoint_after", 9.0), 9.0, 19.0 - CAPTURE_S),
        (Outage("checkpoint_after", 3600.0), 20.0, 8.0 - CAPTURE_S),
    ],
)
def test_in_a_silence_it_stops_so_that_it_is_gone_when_the_lease_ends(
    outage: Outage, began: float, patience_s: float
) -> None:
    story = working(outage=outage)
    assert silence(story) == [(Do.SIGNAL, TERM)]
    assert story.now == pytest.approx(100.0 + began)
    assert story.core.stop is not None
    assert story.core.stop.until - story.now == pytest.approx(patience_s)
    while (Do.SIGNAL, KILL) not in (done := story.wait()):
        assert done in ([Do.CAPTURE], [Do.BEAT])
    assert story.now <= 100.0 + 30.0 - 2.0
    story.on(ev.Exited(Exit.SIGNAL))
    assert story.row == "lease ended"


def test_a_stop_under_way_ends_before_the_lease_does() -> None:
    story = working(graces=replace(GRACES, pod_s=100.0))
    while story.now < 118.0:
        story.wait()
        story.on(ev.BeatLost())
    assert story.on(ev.StopAsked(StopReason.DRAIN)) == [(Do.SIGNAL, TERM)]
    while (Do.SIGNAL, KILL) not in story.wait():
        story.on(ev.BeatLost())
    assert story.now <= 128.0
    assert story.core.reason is StopReason.DRAIN


def test_the_lease_is_counted_from_when_the_beat_left() -> None:
    story = working()
    while story.wait() != [Do.BEAT]:
        pass
    sent, story.now = story.now, story.now + 4.0
    story.on(ev.BeatTaken(sent))
    silence(story)
    assert story.now == pytest.approx(sent + 20.0)


def test_a_start_whose_answer_was_slow_has_used_up_some_of_its_lease() -> None:
    story = Story()
    story.on(ev.Begun(), ev.Spawned())
    story.now += 5.0
    story.on(replace(GRANTED, sent=100.0), ev.Heard())
    silence(story)
    assert story.now == pytest.approx(120.0)
