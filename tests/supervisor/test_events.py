from protocol.messages.checkpoints import StopReason
from supervisor.deadlines import Limits
from supervisor.events import Action, BeatRefused, Granted, Policy, StopAsked
from supervisor.machines import Do
from supervisor.tenure import Outage


def test_events_and_actions_are_values() -> None:
    assert Granted(30.0, retries_left=True) == Granted(30.0, retries_left=True)
    assert BeatRefused().reason == "fenced"
    assert Action(Do.SIGNAL, 15) != Action(Do.SIGNAL, 9)


def test_the_defaults_are_the_documented_ones() -> None:
    policy = Policy()
    assert (policy.limits, policy.outage, policy.heartbeat_s) == (Limits(), Outage(), 10.0)
    assert StopAsked(StopReason.DRAIN).grace_s is None
