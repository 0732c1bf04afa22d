from datetime import timedelta

from protocol.states import TaskInstanceState as S
from server.faults import Archived, Conflict, Refused
from server.filters import AssetEventFilter
from server.outcomes import (
    AwaitingInput,
    Deferred,
    Ended,
    OutletEvent,
    Rescheduled,
    Retried,
    ServerTerminated,
)
from server.records import Applied, FailureKind, Question
from tests.server.exercise.story import HERE, THERE, Story, raises, task


async def every_end_is_taken_and_known_when_told_again(story: Story) -> None:
    for state in (S.SUCCESS, S.FAILED, S.SKIPPED, S.REMOVED, S.UPSTREAM_FAILED):
        await story.submit(run_id=state)
        it = await story.running()
        assert await story.finish(it, state) is Applied.NEW
        assert await story.finish(it, state) is Applied.AGAIN
        other = S.FAILED if state is S.SUCCESS else S.SUCCESS
        with raises(Conflict, "invalid_state"):
            await story.finish(it, other)
        assert await story.states(state) == {"task": state}


async def an_end_is_recorded_with_its_words(story: Story) -> None:
    await story.submit()
    it = await story.running()
    end = story.now + timedelta(seconds=3)
    await story.finish(it, Ended(state=S.FAILED, end_date=end, kind=FailureKind.OOM, reason="x" * 600))
    found = await story.find()
    assert (found.end_date, found.kind, found.reason) == (end, FailureKind.OOM, "x" * 500)
    assert found.due is None
    assert found.worker == "w"


async def a_retry_replaces_the_attempt_and_is_due_after_its_delay(story: Story) -> None:
    await story.submit(task(retries=1, retry_delay_s=60))
    it = await story.running()
    assert await story.finish(it, story.retried(retry_reason="flaky")) is Applied.NEW
    new = await story.find()
    assert new.id != it.id
    assert (new.state, new.try_number, new.due) == (S.UP_FOR_RETRY, 2, story.now + timedelta(seconds=60))
    assert await story.finish(it, story.retried()) is Applied.AGAIN
    with raises(Archived, "not_found"):
        await story.finish(it)
    story.later(61)
    await story.tick()
    second = await story.running()
    assert (second.id, second.try_number) == (new.id, 2)
    assert await story.finish(it, story.retried()) is Applied.AGAIN
    [old, current] = await story.store.attempts("flow", "run", "task")
    assert (old.id, old.state, old.kind, old.reason, old.current) == (it.id, "up_for_retry", "app", "flaky", False)
    assert (current.id, current.state, current.current) == (new.id, "running", True)


async def a_retry_may_bring_its_own_delay(story: Story) -> None:
    await story.submit(task(retries=1, retry_delay_s=60))
    await story.finish(await story.running(), story.retried(retry_delay_seconds=5))
    story.later(6)
    await story.tick()
    assert await story.states() == {"task": "queued"}


async def an_interruption_spends_no_try(story: Story) -> None:
    await story.submit(task(retries=1, retry_delay_s=60))
    for _ in range(5):
        it = await story.running()
        assert it.try_number == 1
        told = Retried(end_date=story.now, kind=FailureKind.EVICTED)
        assert await story.finish(it, told) is Applied.NEW
        assert await story.finish(it, told) is Applied.AGAIN


async def the_last_try_says_so(story: Story) -> None:
    await story.submit(task(retries=1, retry_delay_s=0))
    first = await story.start(await story.claim_one())
    assert first.should_retry
    await story.finish(first.instance, story.retried())
    await story.tick()
    assert not (await story.start(await story.claim_one())).should_retry


async def a_rescheduled_attempt_is_queued_again_at_its_moment(story: Story) -> None:
    await story.submit()
    it = await story.running()
    first = story.now
    later = Rescheduled(reschedule_date=story.now + timedelta(seconds=10), end_date=story.now)
    assert await story.finish(it, later) is Applied.NEW
    assert await story.finish(it, later) is Applied.AGAIN
    story.later(9)
    assert await story.tick() == 0
    story.later(2)
    await story.tick()
    assert await story.finish(it, later) is Applied.AGAIN
    started = await story.start(await story.claim_one())
    assert (started.reschedule_count, started.first_reschedule) == (1, first)
    assert started.instance.try_number == 1
    assert await story.store.reschedule_start(it.id, 1) == first
    assert await story.store.reschedule_start(it.id, 2) is None


async def it_may_be_rescheduled_twice_without_claims(story: Story) -> None:
    """As an executor of Airflow's does, which has no claims and so no new fence for each."""
    await story.submit()
    it = await story.find()
    for _ in range(2):
        await story.store.start(it.id, HERE, story.now, story.now)
        told = Rescheduled(reschedule_date=story.now, end_date=story.now)
        assert await story.store.finish(it.id, told, story.now) is Applied.NEW
        assert await story.store.finish(it.id, told, story.now) is Applied.AGAIN
        await story.tick()
    assert (await story.store.start(it.id, THERE, story.now, story.now)).reschedule_count == 2


async def a_deferral_that_times_out_is_resumed_to_fail(story: Story) -> None:
    await story.submit()
    it = await story.running()
    first_start = it.start_date
    told = Deferred(classpath="a.B", next_method="go", trigger_timeout=30.0, next_kwargs={"x": 1})
    assert await story.finish(it, told) is Applied.NEW
    assert await story.finish(it, told) is Applied.AGAIN
    assert len(await story.store.trigger_workloads(list(range(10)))) == 1
    story.later(31)
    await story.tick()
    started = await story.start(await story.claim_one())
    assert started.resumed
    assert started.instance.id == it.id
    assert started.instance.start_date == first_start
    assert started.instance.next_method == "__fail__"
    assert started.instance.next_kwargs == {"error": "Trigger timeout"}
    assert await story.finish(started.instance) is Applied.NEW
    assert (await story.find()).next_method is None


async def an_answer_resumes_what_waits_for_it(story: Story) -> None:
    await story.submit()
    it = await story.running()
    await story.store.ask_people(it.id, Question(options=["yes", "no"], subject="?"))
    await story.finish(it, AwaitingInput(next_method="go", next_kwargs={"a": 1}))
    assert await story.states() == {"task": "awaiting_input"}
    answered = await story.store.answer_question(it.id, ["yes"], {"p": 1}, {"id": "1", "name": "Ann"}, story.now)
    assert answered.chosen_options == ["yes"]
    assert await story.store.question(it.id) == answered
    with raises(Conflict, "already_answered"):
        await story.store.answer_question(it.id, ["no"], {}, None, story.now)
    again = await story.running()
    assert again.next_kwargs["a"] == 1
    assert again.next_kwargs["event"]["chosen_options"] == ["yes"]


async def an_answer_before_the_wait_is_taken_at_once(story: Story) -> None:
    await story.submit()
    it = await story.running()
    await story.store.ask_people(it.id, Question(options=["yes"], subject="?"))
    await story.store.answer_question(it.id, ["yes"], {}, None, story.now)
    told = AwaitingInput(next_method="go")
    assert await story.finish(it, told) is Applied.NEW
    assert await story.states() == {"task": "queued"}
    assert await story.finish(it, told) is Applied.AGAIN


async def _unanswered(story: Story, defaults: list[str] | None) -> dict[str, object]:
    await story.submit()
    it = await story.running()
    await story.store.ask_people(it.id, Question(options=["yes", "no"], subject="?", defaults=defaults))
    await story.finish(it, AwaitingInput(next_method="go", timeout=10))
    story.later(11)
    await story.tick()
    resumed = await story.running()
    return {"method": resumed.next_method, **resumed.next_kwargs}


async def a_question_nobody_answers_falls_to_its_defaults(story: Story) -> None:
    found = await _unanswered(story, ["no"])
    assert found["method"] == "go"
    event = found["event"]
    assert isinstance(event, dict)
    assert (event["chosen_options"], event["timedout"]) == (["no"], True)


async def a_question_without_defaults_that_nobody_answers_fails(story: Story) -> None:
    assert (await _unanswered(story, None))["method"] == "__fail__"


async def asking_again_wipes_the_answer(story: Story) -> None:
    await story.submit()
    it = await story.running()
    question = Question(options=["yes"], subject="?")
    await story.store.ask_people(it.id, question)
    await story.store.answer_question(it.id, ["yes"], {}, None, story.now)
    await story.store.ask_people(it.id, question)
    found = await story.store.question(it.id)
    assert found is not None
    assert found.responded_at is None


async def outlets_become_events_with_the_success_and_not_without(story: Story) -> None:
    await story.submit()
    it = await story.running()
    known = await story.store.set_asset("known", "s3://known")
    outlets = (OutletEvent(name="known", extra={"rows": 3}), OutletEvent(uri="s3://new"))
    told = Ended(state=S.SUCCESS, end_date=story.now, outlets=(*outlets, OutletEvent()))
    with raises(Refused, "value_error"):
        await story.finish(it, told)
    assert await story.states() == {"task": "running"}
    assert await story.store.asset_events(AssetEventFilter(assets=[known.key])) == []
    told = Ended(state=S.SUCCESS, end_date=story.now, outlets=outlets)
    assert await story.finish(it, told) is Applied.NEW
    assert await story.finish(it, told) is Applied.AGAIN
    [event] = await story.store.asset_events(AssetEventFilter(assets=[known.key]))
    assert (event.extra, event.source_task_id, event.source_run_id) == ({"rows": 3}, "task", "run")
    new = await story.store.get_asset(uri="s3://new")
    assert new is not None
    assert new.name == "s3://new"


async def a_termination_is_acknowledged_wherever_it_fits(story: Story) -> None:
    await story.submit()
    it = await story.running()
    told = ServerTerminated(end_date=story.now)
    with raises(Conflict, "invalid_state"):
        await story.finish(it, told)
    await story.store.kill(it.id, story.now, reason="enough")
    assert await story.finish(it, told) is Applied.AGAIN
    assert await story.states() == {"task": "failed"}
