from datetime import datetime, timedelta, timezone

from protocol.messages.checkpoints import StopReason
from protocol.states import TaskInstanceState as S
from server.faults import Archived, Conflict, NotFound, Refused
from server.outcomes import NewCheckpoint, Rescheduled
from server.records import PidOf
from tests.server.exercise.story import HERE, THERE, Story, raises, task

NOBODY = "00000000-0000-7000-8000-000000000000"


async def run_answers_with_what_an_attempt_begins_with(story: Story) -> None:
    await story.submit(task(retries=2, timeout_s=5))
    started = await story.start(await story.claim_one())
    assert started.instance.state is S.RUNNING
    assert started.instance.hostname == "here"
    assert started.instance.start_date == story.now
    assert started.run.run_id == "run"
    assert started.run.state.value == "running"
    assert started.task.timeout_s == 5
    assert started.should_retry
    assert not started.resumed
    assert started.xcom_keys == []


async def the_same_process_may_ask_to_run_again(story: Story) -> None:
    await story.submit()
    it = await story.running()
    story.later(20)
    again = (await story.start(it)).instance
    assert (again.start_date, again.due) == (it.start_date, story.now + timedelta(seconds=30))
    with raises(Conflict, "invalid_state"):
        await story.start(it, THERE)


async def whose_pid_it_is_stands_in_the_timeline(story: Story) -> None:
    await story.submit(task("child"), task("program"))
    child, program = [await story.claim_one() for _ in range(2)]
    await story.store.start(child.id, HERE, story.now, story.now)
    await story.store.start(program.id, HERE, story.now, story.now, pid_of=PidOf.WORKER)
    said = []
    for it in (child, program):
        events = await story.store.timeline(it.dag_id, it.run_id, it.task_id, it.map_index)
        said += [event.why for event in events if event.what == "run"]
    assert said == [f"started on {HERE.hostname} pid {HERE.pid}", f"started on {HERE.hostname} by worker {HERE.pid}"]


async def what_is_not_queued_cannot_be_run(story: Story) -> None:
    await story.submit(task("first"), task("second", "first"))
    second = await story.find("second")
    with raises(Conflict, "invalid_state"):
        await story.store.start(second.id, HERE, story.now, story.now)
    with raises(NotFound, "not_found"):
        await story.store.start(NOBODY, HERE, story.now, story.now)


async def an_instance_may_be_run_without_a_claim(story: Story) -> None:
    await story.submit()
    it = await story.find()
    started = await story.store.start(it.id, HERE, story.now, story.now)
    assert started.instance.worker == "here"
    assert await story.claim() == []


async def a_heartbeat_renews_the_lease(story: Story) -> None:
    await story.submit()
    it = await story.running()
    for _ in range(4):
        story.later(20)
        beat = await story.store.heartbeat(it.id, "here", 7, story.now, fence=it.fence)
        assert beat.lease == story.now + timedelta(seconds=30)
        assert await story.tick() == 0
    assert await story.states() == {"task": "running"}


async def a_heartbeat_is_refused_to_all_but_the_one_that_runs(story: Story) -> None:
    await story.submit(task(retries=1))
    queued = await story.find()
    with raises(Conflict, "not_running"):
        await story.store.heartbeat(queued.id, "here", 7, story.now)
    it = await story.running()
    for hostname, pid, fence in (("there", 7, None), ("here", 8, None), ("here", 7, 99)):
        with raises(Conflict, "running_elsewhere"):
            await story.store.heartbeat(it.id, hostname, pid, story.now, fence=fence)
    with raises(NotFound, "not_found"):
        await story.store.heartbeat(NOBODY, "here", 7, story.now)
    await story.finish(it, story.retried())
    with raises(Archived, "not_found"):
        await story.store.heartbeat(it.id, "here", 7, story.now)


async def a_replaced_attempt_can_change_nothing(story: Story) -> None:
    await story.submit(task(retries=1))
    it = await story.running()
    await story.finish(it, story.retried())
    new = await story.find()
    store, now = story.store, story.now
    for asking in (
        lambda: store.start(it.id, HERE, now, now),
        lambda: store.set_rendered_fields(it.id, {}),
        lambda: store.set_rendered_map_index(it.id, "x"),
        lambda: store.skip_downstream(it.id, [], now),
        lambda: store.save_checkpoint(it.id, NewCheckpoint(data=1), now),
        lambda: store.resume_point(it.id),
        lambda: store.set_state(it.id, "k", 1, None),
        lambda: store.get_state(it.id, "k", now),
        lambda: store.reschedule_start(it.id, 1),
        lambda: story.returned(it, 1),
        lambda: store.kill(it.id, now, reason="x"),
    ):
        with raises(Archived, "not_found"):
            await asking()
    assert await story.find() == new


async def a_waiting_attempt_keeps_its_id_and_loses_its_fence(story: Story) -> None:
    await story.submit()
    first = await story.running()
    later = Rescheduled(reschedule_date=story.now + timedelta(seconds=5), end_date=story.now)
    await story.finish(first, later)
    story.later(6)
    await story.tick()
    second = await story.running()
    assert second.id == first.id
    with raises(Conflict, "invalid_state"):
        await story.finish(first)
    with raises(Conflict, "running_elsewhere"):
        await story.store.heartbeat(first.id, "here", 7, story.now, fence=first.fence)
    with raises(Conflict, "not_running"):
        await story.save(first, 1)


async def earlier_xcoms_are_named_to_be_cleared(story: Story) -> None:
    await story.submit(task(retries=1, retry_delay_s=0))
    it = await story.running()
    await story.returned(it, [1])
    await story.finish(it, story.retried())
    await story.tick()
    assert (await story.start(await story.claim_one())).xcom_keys == ["return_value"]


async def a_stop_is_told_with_the_next_heartbeat_and_checkpoint(story: Story) -> None:
    await story.submit()
    it = await story.running()
    await story.store.request_stop(it.id, StopReason.EVICT, story.now)
    assert (await story.store.heartbeat(it.id, "here", 7, story.now)).stop is StopReason.EVICT
    assert (await story.store.save_checkpoint(it.id, NewCheckpoint(data=1), story.now)).stop is StopReason.EVICT
    assert "stop_requested" in await story.told()
    await story.finish(it)
    with raises(Conflict, "not_running"):
        await story.store.request_stop(it.id, StopReason.EVICT, story.now)


async def a_remark_is_in_the_timeline_once_and_changes_nothing(story: Story) -> None:
    await story.submit()
    it = await story.running()
    for why in ("it may be too late", "it may be too late", "its log is on the worker only"):
        await story.store.remark(it.id, why, story.now)
    assert (await story.told()).count("remark") == 2
    assert (await story.find()).state is it.state
    await story.finish(it, story.retried())
    await story.store.remark(it.id, "after it was replaced", story.now)
    assert (await story.told()).count("remark") == 3
    with raises(NotFound, "not_found"):
        await story.store.remark(NOBODY, "nobody's", story.now)


async def rendered_fields_and_labels_are_kept(story: Story) -> None:
    await story.submit()
    it = await story.running()
    await story.store.set_rendered_fields(it.id, {"a": "b"})
    await story.store.set_rendered_fields(it.id, {"a": "c"})
    await story.store.set_rendered_map_index(it.id, "file ✓.csv")
    assert (await story.find()).rendered_map_index == "file ✓.csv"
    await story.finish(it)
    assert (await story.find()).rendered_map_index == "file ✓.csv"


async def downstream_tasks_can_be_skipped(story: Story) -> None:
    await story.submit(task("choose"), task("left", "choose"), task("right", "choose"), task("end", "left"))
    it = await story.running()
    assert await story.store.skip_downstream(it.id, [("left", None), ("right", 3)], story.now) == 1
    await story.finish(it)
    assert await story.states() == {"choose": "success", "left": "skipped", "right": "queued", "end": "skipped"}


async def leases_begin_anew_when_nobody_could_have_been_heard(story: Story) -> None:
    await story.submit(task("runs"), task("claimed"))
    runs = await story.running()
    claimed = await story.claim_one()
    story.later(3600)
    assert await story.store.renew_leases(story.now) == 2
    assert await story.tick() == 0
    await story.store.heartbeat(runs.id, "here", 7, story.now, fence=runs.fence)
    await story.start(claimed)
    story.later(31)
    await story.tick()
    assert set((await story.states()).values()) == {"failed"}


async def a_moment_no_calendar_of_utc_has_is_refused_and_stops_no_engine(story: Story) -> None:
    await story.submit(task("a"))
    it = await story.running()
    beyond = datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-5)))
    with raises(Refused, "value_error"):
        await story.finish(it, Rescheduled(reschedule_date=beyond, end_date=story.now))
    story.later(31)
    assert await story.tick() == 1
