"""The coupling of an attempt's machines, told as stories."""

from msgspec.structs import replace

from protocol.messages.checkpoints import StopReason
from protocol.states import TaskInstanceState
from supervisor import events as ev
from supervisor.deadlines import Deadline
from supervisor.explaining import Overdue
from supervisor.lifecycle import LOOK_S
from supervisor.machines import Child, Do, Lease, Report
from supervisor.outcome import Cause, Exit
from supervisor.stopping import CAPTURE_S, KILL, KILL_S, TERM
from supervisor.tenure import Outage
from tests.supervisor.stories import FAILED, GRACES, GRANTED, LIMITS, SUCCESS, Story, begun, working

# --- the usual ---------------------------------------------------------------------------------------------------


def test_a_task_says_success_and_ends() -> None:
    story = working()
    assert story.on(ev.Spoke(SUCCESS)) == [Do.TELL]
    assert story.on(ev.Accepted()) == []
    assert story.on(ev.Exited(Exit.ZERO)) == [Do.RELEASE, Do.FINISH]
    assert (story.row, story.core.finished, story.core.gone) == ("said and told", True, True)
    assert story.core.next_deadline() is None


def test_a_child_without_frames_is_started_when_the_server_agrees() -> None:
    story = Story(talks=False, zero_is_success=True)
    assert story.on(ev.Begun()) == [Do.START]
    assert story.on(GRANTED) == [Do.SPAWN]
    assert story.on(ev.Spawned()) == [Do.GREET]
    assert story.core.child is Child.WORKING
    assert story.on(ev.Exited(Exit.ZERO)) == [Do.RELEASE, Do.REPORT]
    assert story.on(ev.Accepted()) == [Do.FINISH]
    assert story.row == "exit 0"


def test_a_child_is_up_when_it_was_heard() -> None:
    assert [begun().core.up, working().core.up] == [False, True]


def test_the_slot_is_free_before_the_server_knows() -> None:
    story = working()
    story.on(ev.Spoke(SUCCESS))
    assert story.on(ev.Exited(Exit.SIGNAL)) == [Do.RELEASE]
    assert not story.core.finished
    assert story.on(ev.Accepted()) == [Do.FINISH]
    assert story.row == "said and told"


def test_the_first_word_stands_and_later_ones_are_refused() -> None:
    story = working()
    story.on(ev.Spoke(SUCCESS))
    assert story.on(ev.Spoke(FAILED)) == [Do.REFUSE]
    story.on(ev.Accepted())
    assert story.on(ev.Spoke(FAILED)) == [Do.REFUSE]
    assert story.core.said is SUCCESS


def test_a_word_that_the_server_cannot_take_is_not_the_last_one() -> None:
    story = working()
    story.on(ev.Spoke(SUCCESS), ev.Declined())
    assert (story.core.said, story.core.child) == (None, Child.WORKING)
    assert story.on(ev.Spoke(FAILED)) == [Do.TELL]


def test_a_declined_word_of_a_child_that_is_gone_leaves_it_to_us() -> None:
    story = working()
    story.on(ev.Spoke(SUCCESS), ev.Exited(Exit.CODE))
    assert story.on(ev.Declined()) == [Do.REPORT]
    assert story.row == "code"
    assert story.on(ev.Declined()) == [Do.FINISH]
    assert story.row == "code"


def test_a_word_declined_while_it_is_stopped_does_not_unstop_it() -> None:
    story = working()
    story.on(ev.Spoke(SUCCESS), ev.StopAsked(StopReason.DRAIN), ev.Declined())
    assert story.core.child is Child.STOPPING


def test_declining_what_was_not_said_changes_nothing() -> None:
    story = working()
    assert story.on(ev.Declined(), ev.Accepted(), ev.Fenced()) == []
    assert story.core.report is Report.QUIET


def test_a_second_exit_and_a_late_event_change_nothing() -> None:
    story = working()
    story.on(ev.Exited(Exit.CODE))
    assert story.on(ev.Exited(Exit.ZERO)) == []
    story.on(ev.Accepted())
    assert story.on(ev.StopAsked(StopReason.DRAIN), ev.Tick()) == []
    assert story.core.cause is Cause.NONE


# --- beginnings that fail ----------------------------------------------------------------------------------------


def test_a_refused_start_kills_the_child_and_tells_nothing() -> None:
    story = Story()
    story.on(ev.Begun(), ev.Spawned())
    assert story.on(ev.Refused()) == [(Do.SIGNAL, KILL)]
    assert story.on(ev.Exited(Exit.SIGNAL)) == [Do.RELEASE, Do.FINISH]
    assert story.row == "start refused"


def test_a_refused_start_of_a_child_that_was_not_begun_needs_no_kill() -> None:
    story = Story(talks=False)
    story.on(ev.Begun())
    assert story.on(ev.Refused()) == [Do.RELEASE, Do.FINISH]


def test_a_child_that_cannot_be_started_is_reported_after_the_server_let_it_run() -> None:
    story = Story()
    story.on(ev.Begun())
    assert story.on(ev.Unspawned()) == [Do.RELEASE, Do.START]
    assert story.on(GRANTED) == [Do.REPORT]
    assert story.row == "never started"
    assert story.on(ev.Accepted()) == [Do.FINISH]


def test_a_child_that_dies_while_the_server_is_asked_is_reported_when_it_agrees() -> None:
    story = Story()
    story.on(ev.Begun(), ev.Spawned())
    assert story.on(ev.Exited(Exit.SIGNAL)) == [Do.RELEASE]
    assert story.on(GRANTED) == [Do.REPORT]


def test_a_stop_before_there_is_a_process_waits_for_it() -> None:
    story = Story()
    story.on(ev.Begun())
    assert story.on(ev.StopAsked(StopReason.DRAIN)) == []
    assert story.on(ev.Spawned()) == [Do.START, (Do.SIGNAL, TERM)]
    assert story.on(GRANTED) == []
    story.on(ev.Exited(Exit.SIGNAL))
    assert story.row == "evicted"


def test_a_stop_before_the_server_agreed_saves_the_process() -> None:
    story = Story(talks=False)
    story.on(ev.Begun(), ev.StopAsked(StopReason.DRAIN))
    assert story.on(GRANTED) == [Do.RELEASE, Do.REPORT]
    assert story.row == "evicted"


def test_a_second_grant_changes_nothing() -> None:
    story = begun()
    assert story.on(GRANTED) == []


# --- deadlines ---------------------------------------------------------------------------------------------------


def test_a_child_that_never_reads_its_greeting_is_stopped_with_its_stacks() -> None:
    story = begun()
    assert story.quiet_for(60.0) == [Do.LOOK]
    assert story.quiet_for(LOOK_S) == [Do.CAPTURE]
    assert story.quiet_for(CAPTURE_S) == [(Do.SIGNAL, TERM)]
    story.on(ev.Exited(Exit.SIGNAL))
    assert story.row == "never came up"


def test_a_child_that_has_read_its_greeting_may_work_in_silence() -> None:
    story = begun()
    assert story.quiet_for(60.0) == [Do.LOOK]
    story.on(ev.Heard())
    assert story.quiet_for(1000.0) == []


def test_the_execution_time_ends_it() -> None:
    story = working(limits=replace(LIMITS, execution_s=5.0))
    assert story.quiet_for(5.0) == [Do.CAPTURE]
    story.quiet_for(CAPTURE_S)
    assert story.core.reason is StopReason.TIMEOUT
    assert story.core.overdue == Overdue(Deadline.EXECUTION, 5.0)
    story.on(ev.Exited(Exit.SIGNAL))
    assert story.row == "out of time"


def test_the_task_may_set_its_execution_time_itself() -> None:
    story = working()
    story.on(ev.Limited(3.0))
    assert story.quiet_for(3.0) == [Do.CAPTURE]


def test_an_execution_time_set_before_the_work_counts_from_its_start() -> None:
    story = Story()
    story.on(ev.Begun(), ev.Limited(3.0), ev.Spawned(), GRANTED, ev.Heard())
    assert story.quiet_for(3.0) == [Do.CAPTURE]


def test_signs_of_life_put_the_deadman_off() -> None:
    story = working(limits=replace(LIMITS, progress_s=5.0))
    assert story.quiet_for(4.0) == []
    story.on(ev.Progressed())
    assert story.quiet_for(4.0) == []
    story.on(ev.Saved())
    assert story.quiet_for(5.0) == [Do.CAPTURE]
    assert story.core.checkpoint


def test_only_work_shows_signs_of_life() -> None:
    story = begun(limits=replace(LIMITS, progress_s=5.0))
    assert story.on(ev.Progressed()) == []
    story.on(ev.Heard(), ev.Heard())
    assert story.quiet_for(5.0) == [Do.CAPTURE]


def test_whoever_has_spoken_and_stays_is_ended_and_what_it_said_stands() -> None:
    story = working()
    story.on(ev.Spoke(TaskInstanceState.DEFERRED), ev.Accepted())
    assert story.quiet_for(20.0) == [Do.CAPTURE]
    assert story.quiet_for(CAPTURE_S) == [(Do.SIGNAL, TERM)]
    assert story.quiet_for(GRACES.short_s) == [(Do.SIGNAL, KILL)]
    assert story.quiet_for(KILL_S) == [(Do.SIGNAL, KILL)]
    story.on(ev.Exited(Exit.SIGNAL))
    assert (story.row, story.core.cause) == ("said and told", Cause.NONE)


def test_an_acceptance_during_a_stop_sets_no_overtime() -> None:
    story = working()
    story.on(ev.Spoke(SUCCESS), ev.StopAsked(StopReason.DRAIN), ev.Accepted())
    story.wait()
    assert story.core.stop is not None
    assert story.core.stop.signal == 0


def test_a_child_that_hung_up_has_the_overtime_to_end() -> None:
    story = working()
    assert story.on(ev.HungUp()) == [Do.HANG_UP]
    assert story.quiet_for(20.0) == [Do.CAPTURE]
    story.on(ev.Exited(Exit.SIGNAL))
    assert story.row == "broken conversation"


def test_hanging_up_on_the_way_out_is_no_fault() -> None:
    story = working()
    story.on(ev.StopAsked(StopReason.DRAIN), ev.HungUp(), ev.Exited(Exit.ZERO))
    assert story.row == "evicted"


# --- stops -------------------------------------------------------------------------------------------------------


def test_a_drain_is_patient_and_then_looks_before_it_kills() -> None:
    story = working()
    assert story.on(ev.StopAsked(StopReason.DRAIN)) == [(Do.SIGNAL, TERM)]
    assert story.quiet_for(GRACES.task_s) == [Do.CAPTURE]
    assert story.quiet_for(CAPTURE_S) == [(Do.SIGNAL, KILL)]


def test_a_second_stop_shortens_patience_and_keeps_the_cause() -> None:
    story = working()
    story.on(ev.StopAsked(StopReason.DRAIN))
    assert story.on(ev.StopAsked(StopReason.USER_KILL, 2.0)) == []
    assert story.quiet_for(2.0) == [Do.CAPTURE]
    assert (story.core.cause, story.core.reason) == (Cause.INTERRUPTED, StopReason.DRAIN)


def test_the_task_may_want_less_grace() -> None:
    story = working(grace_s=3.0)
    story.on(ev.StopAsked(StopReason.DRAIN, 10.0))
    assert story.quiet_for(3.0) == [Do.CAPTURE]


def test_an_announced_stop_may_leave_more_than_the_nested_grace() -> None:
    story = working()
    story.on(ev.StopAsked(StopReason.EVICT, 90.0))
    assert story.quiet_for(90.0) == [Do.CAPTURE]


def test_a_broken_conversation_ends_the_child() -> None:
    story = working()
    assert story.on(ev.Broke()) == [Do.HANG_UP, (Do.SIGNAL, TERM)]
    story.on(ev.Exited(Exit.SIGNAL))
    assert story.row == "broken conversation"


def test_breaking_it_after_the_last_word_changes_nothing_of_that() -> None:
    story = working()
    story.on(ev.Spoke(SUCCESS), ev.Accepted(), ev.Broke(), ev.Exited(Exit.SIGNAL))
    assert story.row == "said and told"


def test_a_drain_with_a_checkpoint_is_checkpointed() -> None:
    story = working()
    story.on(ev.Saved(), ev.StopAsked(StopReason.EVICT), ev.Exited(Exit.SIGNAL))
    assert story.row == "stopped on a checkpoint"


# --- the lease ---------------------------------------------------------------------------------------------------


def test_beats_go_out_until_the_end_is_told() -> None:
    story = working()
    assert story.wait() == [Do.BEAT]
    assert story.core.next_deadline() is not None
    story.on(ev.BeatTaken())
    assert story.wait() == [Do.BEAT]
    story.on(ev.BeatLost())
    assert story.wait() == [Do.BEAT]
    story.on(ev.Spoke(SUCCESS))
    story.on(ev.BeatTaken())
    assert story.wait() == [Do.BEAT]
    story.on(ev.Accepted())
    assert story.on(ev.BeatTaken(), ev.BeatLost()) == []
    assert story.wait() == [Do.CAPTURE]


def test_a_refused_beat_ends_it_and_nothing_is_told() -> None:
    story = working()
    assert story.on(ev.BeatRefused()) == [(Do.SIGNAL, TERM)]
    assert story.on(ev.Spoke(SUCCESS)) == [Do.REFUSE]
    assert story.on(ev.Exited(Exit.ZERO)) == [Do.RELEASE, Do.FINISH]
    assert story.row == "terminated by the server"
    assert story.core.report is Report.CLOSED


def test_a_beat_refused_while_the_end_is_told_waits_for_that_answer() -> None:
    story = working()
    story.on(ev.Spoke(SUCCESS))
    assert story.on(ev.BeatRefused()) == []
    assert story.on(ev.Accepted(), ev.BeatRefused()) == []
    assert story.core.lease is Lease.OVER


def test_a_word_that_comes_too_late_is_nobody_s() -> None:
    story = working()
    story.on(ev.Spoke(SUCCESS))
    assert story.on(ev.Fenced()) == [(Do.SIGNAL, TERM)]
    assert story.on(ev.Exited(Exit.ZERO)) == [Do.RELEASE, Do.FINISH]
    assert story.row == "said too late"


def test_a_word_that_nobody_can_tell_any_more_stands() -> None:
    """The token is no longer good: no other word could be told either, and no heartbeat."""
    story = working()
    story.on(ev.Spoke(SUCCESS))
    assert story.on(ev.Declined(final=True)) == []
    assert story.on(ev.Spoke(FAILED)) == [Do.REFUSE]
    assert story.wait() == [Do.CAPTURE]
    assert story.on(ev.Exited(Exit.CODE)) == [Do.RELEASE, Do.FINISH]
    assert (story.row, story.core.said, story.core.report) == ("said, told at the end", SUCCESS, Report.CLOSED)


def test_a_verdict_that_nobody_can_tell_any_more_stands_too() -> None:
    story = working()
    story.on(ev.Exited(Exit.CODE))
    assert story.on(ev.Declined(final=True)) == [Do.FINISH]
    assert (story.row, story.core.report) == ("code", Report.CLOSED)


def test_a_verdict_that_comes_too_late_is_nobody_s_either() -> None:
    story = working()
    story.on(ev.Exited(Exit.CODE))
    assert story.on(ev.Fenced()) == [Do.FINISH]
    assert story.row == "terminated by the server"


def test_who_wakes_up_after_the_end_of_the_lease_says_that_it_ended() -> None:
    """The worker was stopped itself. By the time it is woken the keeper has killed the child."""
    story = working()
    story.now += 100.0
    story.on(ev.Exited(Exit.SIGNAL))
    assert story.row == "lease ended"


def test_who_keeps_on_keeps_on_and_is_back_when_the_server_is() -> None:
    story = working(outage=Outage("keep"))
    for _ in range(20):
        story.wait()
        story.on(ev.BeatLost())
    assert (story.core.lease, story.core.child) == (Lease.EXPIRED, Child.WORKING)
    story.on(ev.BeatTaken())
    assert story.core.lease is Lease.HELD
    story.now += 100.0
    story.on(ev.Exited(Exit.CODE))
    assert story.row == "code"


def test_ticks_that_come_when_nothing_is_due_do_nothing() -> None:
    assert working().on(ev.Tick()) == []


def test_a_rung_that_comes_due_after_the_end_is_not_climbed() -> None:
    story = working()
    story.on(ev.StopAsked(StopReason.DRAIN), ev.Exited(Exit.SIGNAL))
    assert story.core.next_deadline() is None
