"""What the simulation found and was mended: each as a history of its own, made by hand and played under many seeds."""

import pytest
from msgspec.structs import replace

from protocol.flows import OutagePolicy, TaskSpec
from tests.simulation.children import Manner
from tests.simulation.history import Told, play
from tests.simulation.network import Fate, Weather
from tests.simulation.plan import PLAIN, Blow, Plan

SUCCESS = Manner(0.1)


def plan(*manners: Manner, outage: OutagePolicy = "checkpoint_after", **more: object) -> Plan:
    task = TaskSpec(task_id="task", retries=1, retry_delay_s=0.0, outage=outage)
    made = Plan([task], {"task": [*manners, SUCCESS]}, {"task": outage}, Weather({}, 0.0, []))
    for name, value in more.items():
        setattr(made, name, value)
    return made


def plain(made: Plan) -> Plan:
    made.tasks = [replace(task, runtime=PLAIN, command=["program"]) for task in made.tasks]
    return made


def told(history: Told) -> list[str]:
    """Give what happened at the server, as words."""
    return [what.split()[3] for _, who, what in history.story.lines if who == "world" and what.startswith("server: ")]


def test_an_attempt_that_is_claimed_anew_waits_for_its_own_process() -> None:
    """A reschedule keeps the id. The keeper refused a second child of that name, which cost a retry."""
    for seed in range(5):
        history = play(seed, plan(Manner(0.1, ends="up_for_reschedule", lingers_s=1.9), SUCCESS))
        assert not history.found, history.story
        assert told(history).count("told_reschedule") == 1
        assert "told_retry" not in told(history), history.story


def test_a_word_that_our_server_refuses_was_not_taken() -> None:
    """It was lost on its way, and the attempt given up meanwhile: that is no trace of our own earlier call."""
    for seed in range(5):
        cut = Weather({}, 0.0, [(1.0, 14.0)])
        history = play(seed, plan(Manner(1.5), outage="keep", weather=cut))
        assert not history.found, history.story
        assert "lost_retry" in told(history), history.story


def test_what_was_settled_while_the_disk_was_full_is_settled_when_the_worker_has_ended() -> None:
    """Nothing was written any more once it was told, and so the journal owed it for ever."""
    for seed in range(5):
        full = [Blow("disk", at_s=0.5, lasts_s=3.0)]
        history = play(seed, plan(Manner(1.0), blows=full))
        assert not history.found, history.story


def test_a_worker_takes_no_work_before_nothing_is_left_of_the_last_one() -> None:
    """Keeper and supervisor were killed, and a child that is deaf to signals outlived its lease: it got a twin."""
    for seed in range(5):
        killed = [Blow("keeper", at_s=0.5), Blow("supervisor", at_s=1.0, lasts_s=11.0)]
        history = play(seed, plan(Manner(25.0, steps=1, deaf=True, slips=True), blows=killed))
        assert not history.found, history.story
        assert told(history)[-1] == "told_success"


def test_a_plain_program_is_adopted_with_the_token_that_it_runs_by() -> None:
    """It has its token before it has a slate; the one that it was claimed with keeps nothing alive."""
    for seed in range(5):
        killed = [Blow("supervisor", at_s=1.0, lasts_s=0.5)]
        history = play(seed, plain(plan(Manner(14.0, ends="exit 0"), blows=killed)))
        assert not history.found, history.story
        assert told(history)[-1] == "told_success"
        assert not [what for what in told(history) if what.startswith("lost")], history.story


def test_an_upgrade_leaves_nobody_behind_who_is_being_started() -> None:
    """Between the server's leave to run and the fork nobody could adopt it: it was taken for lost, and a try spent."""
    for step in range(20, 60):
        upgrade = [Blow("upgrade", at_step=step)]
        history = play(0, plain(plan(Manner(1.0, ends="exit 0"), blows=upgrade)))
        assert not history.found, history.story
        assert told(history).count("run") == 1, history.story


def test_who_is_asked_to_end_may_die_while_it_does_what_it_is_asked() -> None:
    """What somebody asks of a supervisor is a step of the supervisor's: all of its world died of it."""
    history = play(6783)
    assert not history.found, history.story


def test_what_was_cleared_begins_when_its_end_is_delivered_from_the_journal() -> None:
    """The outcome was refused, and nobody told the server that nothing was left: it waited for the end of the lease."""
    history = play(27561)
    assert not history.found, history.story


@pytest.mark.slow
def test_a_question_is_answered_once_whichever_two_moments_supervisors_die_in() -> None:
    """One that died before the greeting was behind it left a slate on which no answer could be told from it."""
    for first in range(1, 20):
        for second in range(first + 1, first + 12):
            deaths = [Blow("point", at_point=point, lasts_s=0.3) for point in (first, second)]
            history = play(0, plan(Manner(0.1), blows=deaths))
            assert not history.found, history.story


@pytest.mark.parametrize("fate", [fate for fate in Fate if fate is not Fate.FINE])
def test_no_fate_of_requests_loses_an_outcome(fate: Fate) -> None:
    for seed in range(5):
        history = play(seed, plan(Manner(1.0, steps=2, saves=True), weather=Weather({fate: 0.4}, 8.0, [])))
        assert not history.found, history.story
