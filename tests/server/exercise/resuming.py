from protocol.messages.checkpoints import BlobReference, GetCheckpoint, StopReason
from protocol.states import TaskInstanceState as S
from server.faults import Conflict, Refused
from server.outcomes import NewCheckpoint
from server.records import Applied, Instance
from tests.server.exercise.story import Story, raises, task


async def _resumed(story: Story) -> Instance:
    """The instance is due within a minute; run it."""
    story.later(61)
    await story.tick()
    return await story.running()


async def _from(story: Story, it: Instance) -> object:
    point = await story.store.resume_point(it.id)
    return None if point.checkpoint is None else point.checkpoint.data["step"]


async def the_last_two_records_are_kept(story: Story) -> None:
    await story.submit()
    it = await story.running()
    assert (await story.store.resume_point(it.id)).checkpoint is None
    assert [await story.save(it, step, progress=step) for step in (1, 2, 3)] == [1, 2, 3]
    kept = await story.store.checkpoints("flow", "run", "task")
    assert [(one.seq, one.data, one.progress, one.attempt) for one in kept] == [
        (3, {"step": 3}, 3.0, 1),
        (2, {"step": 2}, 2.0, 1),
    ]
    assert await story.store.checkpoints("flow", "run", "unknown") == []


async def a_save_that_comes_again_or_late_is_not_written(story: Story) -> None:
    """By its number: a network may repeat it, and a try whose answer was lost may still be under way."""
    await story.submit()
    it = await story.running()
    numbers = (11, 12, 12, 11, 13)
    news = [NewCheckpoint(data={"step": number}, progress=number) for number in numbers]
    saved = [
        (await story.store.save_checkpoint(it.id, new, story.now, number=number)).seq
        for new, number in zip(news, numbers, strict=True)
    ]
    assert saved == [1, 2, 2, 2, 3]
    assert [one.progress for one in await story.store.checkpoints("flow", "run", "task")] == [13.0, 12.0]
    await story.finish(it, story.checkpointed())
    again = await _resumed(story)
    assert (await story.store.save_checkpoint(again.id, news[0], story.now, number=1)).seq == 4


async def a_record_may_be_a_blob(story: Story) -> None:
    await story.submit()
    it = await story.running()
    blob = BlobReference(uri="file:///x", sha256="0" * 64, size=5)
    await story.store.save_checkpoint(it.id, NewCheckpoint(blob=blob, fingerprint="f"), story.now)
    point = await story.store.resume_point(it.id)
    assert point.checkpoint is not None
    assert (point.checkpoint.blob, point.checkpoint.data, point.checkpoint.fingerprint) == (blob, None, "f")


async def too_much_inline_is_refused(story: Story) -> None:
    await story.submit()
    it = await story.running()
    with raises(Refused, "too_large"):
        await story.store.save_checkpoint(it.id, NewCheckpoint(data="x" * 1000), story.now)
    assert await story.store.checkpoints("flow", "run", "task") == []
    await story.store.save_checkpoint(it.id, NewCheckpoint(data="x" * 998), story.now)


async def a_checkpointed_attempt_resumes_without_spending_a_try(story: Story) -> None:
    await story.submit(task("task"), task("after", "task", trigger_rule="all_done"))
    it = await story.running()
    await story.save(it, 5, progress=5)
    told = story.checkpointed(reason=StopReason.DRAIN)
    assert await story.finish(it, told) is Applied.NEW
    assert await story.finish(it, told) is Applied.AGAIN
    await story.tick()
    assert (await story.states())["after"] == "scheduled"
    again = await _resumed(story)
    assert again.id != it.id
    assert again.try_number == 1
    assert await _from(story, again) == 5
    with raises(Conflict, "not_running"):
        await story.finish(again)
        await story.store.save_checkpoint(again.id, NewCheckpoint(data=1), story.now)


async def the_outcome_may_bring_the_last_record(story: Story) -> None:
    await story.submit()
    it = await story.running()
    told = story.checkpointed(reason=StopReason.EVICT, checkpoint=NewCheckpoint(data={"step": 9}))
    assert await story.finish(it, told) is Applied.NEW
    assert await story.finish(it, told) is Applied.AGAIN
    [kept] = await story.store.checkpoints("flow", "run", "task")
    assert (kept.seq, kept.reason) == (1, "evict")
    assert await _from(story, await _resumed(story)) == 9


async def progress_renews_the_budget_for_ever(story: Story) -> None:
    await story.submit(task(resume_limit=1))
    it = await story.running()
    for step in range(12):
        await story.save(it, step, progress=step)
        await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
        it = await _resumed(story)
        assert await _from(story, it) == step


async def machines_that_end_before_it_could_save_cost_no_record(story: Story) -> None:
    await story.submit(task(resume_limit=2))
    it = await story.running()
    story.later(10)  # what it takes to the first record
    await story.save(it, 1, progress=1)
    await story.save(it, 2, progress=2)
    await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
    begun = []
    for ran in (5, 5, 5, 31, 5):
        it = await _resumed(story)
        begun.append(await _from(story, it))
        story.later(ran)
        if ran > 30:  # nobody says so: its lease ends, and it was heard last when it began
            await story.tick()
        else:
            await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
    assert begun == [2, 2, 2, 2, 2]
    it = await _resumed(story)
    story.later(11)
    await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
    assert await _from(story, await _resumed(story)) == 1


async def without_progress_it_falls_back_and_in_the_end_fails(story: Story) -> None:
    await story.submit(task(resume_limit=2))
    it = await story.running()
    await story.save(it, 1, progress=1)
    await story.save(it, 2, progress=2)
    await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
    begun = []
    for _ in range(5):
        it = await _resumed(story)
        begun.append(await _from(story, it))
        await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
    assert begun == [2, 2, 1, 1, None]
    it = await _resumed(story)
    told = story.checkpointed(reason=StopReason.EVICT)
    assert await story.finish(it, told) is Applied.NEW
    assert await story.finish(it, told) is Applied.AGAIN
    found = await story.find()
    assert found.state is S.FAILED
    assert found.reason is not None
    assert "no progress" in found.reason
    assert (await story.told())[-1] == "budget_spent"


async def coming_to_the_same_point_again_proves_nothing(story: Story) -> None:
    """A record that breaks whoever resumes from it: each fresh start reaches it again, and that must end."""
    await story.submit(task(resume_limit=1))
    it = await story.running()
    for _ in range(4):
        if await _from(story, it) is None:
            await story.save(it, 40, progress=40)
        await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
        if (await story.find()).state is S.FAILED:
            break
        it = await _resumed(story)
    assert (await story.find()).state is S.FAILED


async def what_was_passed_over_is_let_go_of_by_the_next_record(story: Story) -> None:
    await story.submit(task(resume_limit=1))
    it = await story.running()
    await story.save(it, 1, progress=1)
    await story.save(it, 2, progress=2)
    await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
    it = await _resumed(story)
    await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
    it = await _resumed(story)
    assert await _from(story, it) == 1
    await story.save(it, 3, progress=3)
    assert await _from(story, it) == 3
    kept = await story.store.checkpoints("flow", "run", "task")
    assert [one.data["step"] for one in kept] == [3, 1]


async def a_task_that_resumes_by_hand_is_held(story: Story) -> None:
    await story.submit(task(resume="manual"))
    it = await story.running()
    await story.save(it, 1)
    await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
    story.later(10_000)
    await story.tick()
    held = await story.find()
    assert (held.state, held.due) == (S.CHECKPOINTED, None)
    assert (await story.store.resume(held.id, story.now)).state is S.QUEUED
    with raises(Conflict, "invalid_state"):
        await story.store.resume((await story.running()).id, story.now)


async def a_stop_that_someone_meant_is_held(story: Story) -> None:
    for number, reason in enumerate((StopReason.USER_KILL, StopReason.TIMEOUT)):
        await story.submit(run_id=f"run{number}")
        it = await story.running()
        await story.save(it, 1)
        await story.finish(it, story.checkpointed(reason=reason))
        assert (await story.find(run_id=f"run{number}")).due is None


async def a_lost_attempt_with_a_checkpoint_resumes(story: Story) -> None:
    await story.submit(task(retries=0))
    it = await story.running()
    await story.save(it, 3, progress=3)
    story.later(31)
    await story.tick()
    assert "lost_resume" in await story.told()
    again = await _resumed(story)
    assert (again.try_number, await _from(story, again)) == (1, 3)


async def a_failed_try_goes_on_from_the_record_and_counts_against_it(story: Story) -> None:
    await story.submit(task(retries=5, retry_delay_s=0, resume_limit=1))
    it = await story.running()
    await story.save(it, 1, progress=1)
    await story.finish(it, story.retried())
    begun = []
    for _ in range(3):
        it = await _resumed(story)
        begun.append(await _from(story, it))
        await story.finish(it, story.retried())
    assert begun == [1, None, None]


def _asked(fingerprint: str | None = None, passed_over: int | None = None, why: str | None = None) -> GetCheckpoint:
    return GetCheckpoint(fingerprint, passed_over, why)


async def what_wrote_it_may_resume_from_it_and_it_is_told(story: Story) -> None:
    await story.submit()
    it = await story.running()
    await story.store.save_checkpoint(it.id, NewCheckpoint(data={"step": 1}, fingerprint="code=a inputs=b"), story.now)
    await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
    it = await _resumed(story)
    point = await story.store.begin_from(it.id, _asked("code=a inputs=b"), story.now)
    assert point.checkpoint is not None
    assert "resumes_from" in await story.told()
    with raises(Conflict, "not_running"):
        await story.store.begin_from(it.id, _asked(), story.now, fence=99)


async def changed_code_begins_anew_and_lets_go_of_its_records(story: Story) -> None:
    await story.submit(task(resume_limit=1))
    it = await story.running()
    new = NewCheckpoint(data={"step": 40}, progress=40, fingerprint="code=a inputs=b")
    await story.store.save_checkpoint(it.id, new, story.now)
    await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
    it = await _resumed(story)
    point = await story.store.begin_from(it.id, _asked("code=x inputs=b"), story.now)
    assert (point.checkpoint, point.hold) == (None, None)
    assert point.note == "a fresh start: the code changed since record 1 was written"
    assert "fresh_start" in await story.told()
    await story.save(it, 5, progress=5)
    await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
    it = await _resumed(story)
    assert await _from(story, it) == 5


async def a_change_may_be_held_until_a_person_resumes_it(story: Story) -> None:
    await story.submit(task(on_change="hold"))
    it = await story.running()
    await story.store.save_checkpoint(it.id, NewCheckpoint(data={"step": 4}, fingerprint="inputs=b"), story.now)
    await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
    it = await _resumed(story)
    point = await story.store.begin_from(it.id, _asked("inputs=c"), story.now)
    assert (point.checkpoint, point.hold) == (None, "the inputs changed since record 1 was written")
    await story.finish(it, story.checkpointed(hold=point.hold))
    story.later(10_000)
    await story.tick()
    held = await story.find()
    assert (held.state, held.due) == (S.CHECKPOINTED, None)
    await story.store.resume(held.id, story.now)
    again = await story.running()
    taken = await story.store.begin_from(again.id, _asked("inputs=c"), story.now)
    assert taken.checkpoint is not None


async def a_record_that_cannot_be_used_is_passed_over_for_the_one_before(story: Story) -> None:
    await story.submit()
    it = await story.running()
    for step in (1, 2):
        await story.save(it, step, progress=step)
    await story.finish(it, story.checkpointed(reason=StopReason.EVICT))
    it = await _resumed(story)
    for _ in range(2):  # the answer to the first may have been lost
        point = await story.store.begin_from(it.id, _asked(None, 2, "its file is gone"), story.now)
        assert point.checkpoint is not None
        assert (point.checkpoint.seq, point.note) == (1, "record 2 could not be used: its file is gone")
    point = await story.store.begin_from(it.id, _asked(None, 1, "too"), story.now)
    assert point.checkpoint is None
    assert point.note == "a fresh start: record 1 could not be used: too"
    told = await story.told()
    assert told.count("record_passed_over") == 2
    assert told[-1] == "fresh_start"
