"""What is left of an attempt, and what the next supervisor makes of it."""

from msgspec import structs

from protocol.messages.checkpoints import StopReason
from protocol.states import TaskInstanceState
from supervisor import events as ev
from supervisor.adopting import (
    FOREVER,
    Facts,
    Fate,
    Left,
    Memory,
    alone_until,
    fate,
    inscription,
    is_worth_remembering,
    read,
    recall,
    remembered,
)
from supervisor.deadlines import Deadline, Limits
from supervisor.events import Policy
from supervisor.journal import Entry, Owed
from supervisor.lifecycle import Lifecycle
from supervisor.machines import Child, Do, Lease, Report
from supervisor.outcome import Exit
from supervisor.runtimes import BUILT_IN
from supervisor.tenure import Outage

SEED = b"seed"
POLICY = Policy(limits=Limits(boot_s=60.0, execution_s=100.0, progress_s=50.0))
FACTS = Facts(b"{}", BUILT_IN["python"], POLICY, "log", None, 1.0, 42)


def core(*events: ev.Event, policy: Policy = POLICY) -> Lifecycle:
    """A lifecycle to which these have happened, a second after the other, from 10 on."""
    found = Lifecycle(policy, SEED)
    for number, event in enumerate((ev.Begun(), ev.Spawned(), *events)):
        found.handle(event, 10.0 + number)
    return found


def left(before: Lifecycle, *, greeted: bool = True, policy: Policy = POLICY) -> Left:
    found = read(inscription(structs.replace(FACTS, policy=policy)), remembered(before), greeted=greeted)
    assert found is not None
    return found


GRANTED = ev.Granted(30.0, retries_left=True)


def test_what_is_remembered_is_recalled_and_deadlines_go_on() -> None:
    before = core(GRANTED, ev.Heard(), ev.Saved(), ev.Limited(70.0), ev.StopAsked(StopReason.DRAIN))
    after = recall(left(before), SEED)
    assert remembered(after) == remembered(before)
    assert after.next_deadline() == before.next_deadline()
    for event in (ev.BeatTaken(), ev.StopAsked(StopReason.EVICT, 1.0), ev.Exited(Exit.ZERO)):
        assert after.handle(event, 40.0) == before.handle(event, 40.0)
    assert after.verdict == before.verdict


def test_a_heartbeat_that_was_under_way_is_sent_again() -> None:
    before = core(GRANTED, ev.Heard())
    due = before.next_deadline()
    assert due is not None
    assert [action.do for action in before.handle(ev.Tick(), due)] == [Do.BEAT]
    after = recall(left(before), SEED)
    assert [action.do for action in after.handle(ev.Tick(), due + 1.0)] == [Do.BEAT]


def test_a_word_on_its_way_is_forgotten_and_said_again() -> None:
    before = core(GRANTED, ev.Heard(), ev.Spoke(TaskInstanceState.SUCCESS))
    after = recall(left(before), SEED)
    assert (after.report, after.said, after.child) == (Report.QUIET, None, Child.WORKING)
    told = after.handle(ev.Spoke(TaskInstanceState.SUCCESS), 20.0)
    assert [action.do for action in told] == [Do.TELL]


def test_a_word_said_while_it_is_stopped_is_forgotten_too_and_the_stop_goes_on() -> None:
    before = core(GRANTED, ev.Heard(), ev.StopAsked(StopReason.DRAIN), ev.Spoke(TaskInstanceState.SUCCESS))
    after = recall(left(before), SEED)
    assert (after.report, after.child, after.reason) == (Report.QUIET, Child.STOPPING, StopReason.DRAIN)


def test_a_word_that_was_taken_stands() -> None:
    before = core(GRANTED, ev.Heard(), ev.Spoke(TaskInstanceState.SUCCESS), ev.Accepted())
    after = recall(left(before), SEED)
    assert (after.report, after.said) == (Report.TOLD, TaskInstanceState.SUCCESS)
    assert [action.do for action in after.handle(ev.Exited(Exit.ZERO), 30.0)] == [Do.RELEASE, Do.FINISH]


def test_a_child_that_was_not_greeted_is_asked_for_again() -> None:
    before = core(GRANTED)
    after = recall(left(before, greeted=False), SEED)
    assert (after.lease, after.child) == (Lease.ASKED, Child.WAITING)
    assert Do.GREET in [action.do for action in after.handle(GRANTED, 20.0)]
    assert recall(left(before), SEED).child is Child.BOOTING


def test_a_program_without_frames_has_no_greeting() -> None:
    policy = structs.replace(POLICY, talks=False)
    before = Lifecycle(policy, SEED)
    for event in (ev.Begun(), GRANTED, ev.Spawned()):
        before.handle(event, 10.0)
    after = recall(left(before, greeted=False, policy=policy), SEED)
    assert (after.lease, after.child) == (Lease.HELD, Child.WORKING)


def test_a_keeper_is_told_until_when_it_may_be_alone() -> None:
    assert alone_until(core()) is None
    found = alone_until(core(GRANTED))
    assert found is not None
    assert 12.0 < found[0] < found[1] < 42.0
    keeps = structs.replace(POLICY, outage=Outage("keep"))
    assert alone_until(core(GRANTED, policy=keeps)) == (FOREVER, FOREVER)


def test_what_cannot_be_read_is_nothing() -> None:
    assert read(b"", remembered(core()), greeted=True) is None
    assert read(inscription(FACTS), b"", greeted=True) is None


def test_an_older_memory_is_read_with_what_is_new_as_it_begins() -> None:
    old = remembered(core(GRANTED))
    found = read(inscription(FACTS), old, greeted=True)
    assert found is not None
    assert found.memory == structs.replace(found.memory, looked=False)
    assert Memory(Child.WORKING, Report.QUIET, Lease.HELD).at == {}
    assert Deadline.LEASE in found.memory.at


def test_of_whom_all_is_told_needs_nobody() -> None:
    """A word that was given up while its process had ended already: adopted, it would be told as something else."""
    for last in (ev.Accepted(), ev.Fenced()):
        before = core(GRANTED, ev.Heard(), ev.Spoke(TaskInstanceState.SUCCESS))
        before.handle(ev.Exited(Exit.ZERO), 20.0)
        assert not is_worth_remembering(before)
        before.handle(last, 21.0)
        assert is_worth_remembering(before)
        assert fate(left(before), None) is Fate.FORGET


def test_whose_verdict_is_written_down_needs_nobody() -> None:
    found = left(core(GRANTED))
    entry = Entry(b"x" * 16)
    verdict, word = (Owed(entry.ti, "failed", b"{}", row, None, 1.0) for row in ("code", ""))
    assert fate(found, None) is Fate.ADOPT
    assert fate(found, entry) is Fate.ADOPT
    assert fate(found, structs.replace(entry, owed=word)) is Fate.ADOPT
    assert fate(found, structs.replace(entry, owed=verdict)) is Fate.FORGET
    assert fate(None, structs.replace(entry, owed=verdict)) is Fate.FORGET
    assert fate(None, entry) is Fate.END
    assert fate(None, None) is Fate.END
