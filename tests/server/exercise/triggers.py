from protocol.states import TaskInstanceState as S
from server.faults import Conflict, NotFound, Refused
from server.outcomes import Deferred
from server.records import Applied, Instance
from tests.server.exercise.story import Story, raises


async def _deferred(story: Story) -> tuple[Instance, int]:
    """Give a deferred instance and its trigger."""
    if await story.store.run("flow", "run") is None:
        await story.submit()
    it = await story.running()
    told = Deferred(classpath="a.B", next_method="go", trigger_kwargs={"k": 1}, next_kwargs={"x": {"__type": 1}})
    await story.finish(it, told)
    trigger = (await story.find()).trigger_id
    assert trigger is not None
    return it, trigger


async def _load(story: Story, job: int, capacity: int = 10, queues: list[str] | None = None) -> list[int]:
    return await story.store.load_triggers(job, capacity, 30.0, queues, story.now)


async def a_triggerer_gets_the_triggers_nobody_has(story: Story) -> None:
    _, trigger = await _deferred(story)
    one = await story.store.register_job("triggerer", "here", story.now)
    two = await story.store.register_job("triggerer", "there", story.now)
    assert await _load(story, one) == [trigger]
    assert await _load(story, two) == []
    [workload] = await story.store.trigger_workloads([trigger, 999])
    assert (workload.classpath, workload.kwargs, workload.instance.task_id) == ("a.B", '{"k":1}', "task")


async def capacity_and_queues_bound_what_is_taken(story: Story) -> None:
    await _deferred(story)
    job = await story.store.register_job("triggerer", "here", story.now)
    assert await _load(story, job, 0) == []
    assert await _load(story, job, queues=["other"]) == []
    assert await _load(story, job, queues=[]) == []
    assert len(await _load(story, job, queues=["default"])) == 1


async def what_a_silent_or_ended_triggerer_had_goes_to_another(story: Story) -> None:
    _, trigger = await _deferred(story)
    one, two, three = [await story.store.register_job("triggerer", "h", story.now) for _ in range(3)]
    await _load(story, one)
    story.later(31)
    assert await story.store.job_heartbeat(two, story.now)
    assert await _load(story, two) == [trigger]
    assert await _load(story, one) == []
    with raises(Conflict, "fenced"):
        await story.store.trigger_event(trigger, {}, story.now, triggerer=one)
    assert await story.store.complete_job(two, story.now)
    assert not await story.store.complete_job(two, story.now)
    assert not await story.store.job_heartbeat(two, story.now)
    assert await _load(story, three) == [trigger]
    with raises(NotFound, "not_found"):
        await _load(story, two)


async def an_event_resumes_with_its_payload_untouched(story: Story) -> None:
    it, trigger = await _deferred(story)
    payload = {"__classname__": "x", "n": [1, None]}
    assert await story.store.trigger_event(trigger, payload, story.now) is Applied.NEW
    assert await story.store.trigger_event(trigger, payload, story.now) is Applied.AGAIN
    resumed = await story.start(await story.claim_one())
    assert resumed.resumed
    assert resumed.instance.id == it.id
    assert resumed.instance.next_method == "go"
    assert resumed.instance.next_kwargs == {"x": {"__type": 1}, "event": payload}


async def an_event_may_end_the_task(story: Story) -> None:
    for number, state in enumerate((S.SUCCESS, S.FAILED, S.SKIPPED)):
        await story.submit(run_id=f"run{number}")
        it = await story.running()
        await story.finish(it, Deferred(classpath="a.B", next_method="go"))
        trigger = (await story.find(run_id=f"run{number}")).trigger_id
        assert trigger is not None
        assert await story.store.trigger_event(trigger, None, story.now, ends_as=state) is Applied.NEW
        await story.tick()
        assert await story.states(f"run{number}") == {"task": state}
    with raises(Refused, "value_error"):
        await story.store.trigger_event(1, None, story.now, ends_as="running")


async def a_trigger_that_fails_resumes_the_task_to_fail(story: Story) -> None:
    _, trigger = await _deferred(story)
    assert await story.store.trigger_failure(trigger, ["line"], story.now) is Applied.NEW
    assert await story.store.trigger_failure(trigger, ["line"], story.now) is Applied.AGAIN
    resumed = await story.running()
    assert (resumed.next_method, resumed.next_kwargs["traceback"]) == ("__fail__", ["line"])


async def triggers_nobody_waits_for_are_removed(story: Story) -> None:
    it, trigger = await _deferred(story)
    assert await story.store.clean_triggers() == 0
    await story.store.kill(it.id, story.now, reason="enough")
    assert await story.store.trigger_event(trigger, {}, story.now) is Applied.AGAIN
    assert await story.store.trigger_workloads([trigger]) == []
    assert await story.store.clean_triggers() == 1
    assert await story.store.trigger_workloads([]) == []
