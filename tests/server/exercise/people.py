from protocol.states import TaskInstanceState as S
from server.faults import Archived, Conflict, NotFound, Refused
from server.outcomes import Ended, ServerTerminated
from server.records import Applied
from tests.server.exercise.story import Story, raises, task


async def a_cleared_instance_runs_again_with_all_its_retries(story: Story) -> None:
    await story.submit(task(retries=2))
    it = await story.running()
    await story.save(it, 1)
    await story.finish(it)
    assert await story.run_state() == "success"
    [cleared] = await story.store.clear(it.id, story.now, keep_checkpoint=False)
    assert (cleared.state, cleared.try_number, cleared.max_tries) == (S.SCHEDULED, 2, 3)
    assert await story.run_state() == "running"
    await story.tick()
    again = await story.running()
    assert (await story.store.resume_point(again.id)).checkpoint is None
    await story.finish(again)
    assert await story.run_state() == "success"
    assert [(one.id, one.state) for one in await story.store.attempts("flow", "run", "task")] == [
        (it.id, "success"),
        (again.id, "success"),
    ]


async def a_cleared_instance_may_keep_its_checkpoint(story: Story) -> None:
    await story.submit()
    it = await story.running()
    await story.save(it, 1)
    await story.finish(it, S.FAILED)
    await story.store.clear(it.id, story.now, keep_checkpoint=True)
    await story.tick()
    assert (await story.store.resume_point((await story.running()).id)).checkpoint is not None


async def who_clears_again_and_drops_a_checkpoint_is_in_the_timeline(story: Story) -> None:
    await story.submit()
    it = await story.running()
    await story.save(it, 1)
    for keep in (True, False, False):  # the last one drops nothing, and changes nothing
        await story.store.clear(it.id, story.now, keep_checkpoint=keep)
    assert [what for what in await story.told() if what == "clear"] == ["clear", "clear"]


async def clearing_may_go_down(story: Story) -> None:
    await story.submit(task("a"), task("b", "a"), task("c", "b"), task("x"))
    by_name = {}
    for each in await story.claim(5):
        by_name[each.instance.task_id] = (await story.start(each.instance)).instance
    await story.finish(by_name["a"], S.FAILED)
    await story.finish(by_name["x"])
    cleared = await story.store.clear(by_name["a"].id, story.now, keep_checkpoint=False, downstream=True)
    assert [(it.task_id, it.state) for it in cleared] == [(name, S.SCHEDULED) for name in "abc"]
    again = await story.store.clear(cleared[0].id, story.now, keep_checkpoint=False, downstream=True)
    assert [it.task_id for it in again] == ["a"]
    await story.tick()
    assert await story.states() == {"a": "queued", "b": "scheduled", "c": "scheduled", "x": "success"}


async def a_running_instance_is_stopped_before_it_begins_again(story: Story) -> None:
    await story.submit(task(retries=1))
    it = await story.running()
    [cleared] = await story.store.clear(it.id, story.now, keep_checkpoint=False)
    assert (cleared.state, cleared.id) == (S.RESTARTING, it.id)
    assert await story.claim() == []
    with raises(Conflict, "not_running"):
        await story.store.heartbeat(it.id, "here", 7, story.now)
    with raises(Conflict, "invalid_state"):
        await story.finish(it)
    told = ServerTerminated(end_date=story.now)
    assert await story.finish(it, told) is Applied.NEW
    assert await story.finish(it, told) is Applied.AGAIN
    again = await story.running()
    assert (again.try_number, again.max_tries, again.id != it.id) == (2, 2, True)
    with raises(Archived, "not_found"):
        await story.store.heartbeat(it.id, "here", 7, story.now)


async def a_cleared_instance_whose_worker_is_gone_begins_when_its_lease_ends(story: Story) -> None:
    await story.submit()
    it = await story.running()
    await story.store.clear(it.id, story.now, keep_checkpoint=False)
    story.later(31)
    await story.tick()
    assert (await story.running()).try_number == 2


async def a_queued_instance_that_is_cleared_is_queued_again_and_its_claim_is_void(story: Story) -> None:
    await story.submit()
    it = await story.claim_one()
    await story.store.clear(it.id, story.now, keep_checkpoint=False)
    await story.tick()
    with raises(NotFound, "not_found"):
        await story.start(it)
    assert (await story.running()).try_number == 1


async def a_whole_run_can_be_cleared(story: Story) -> None:
    await story.submit(task("a"), task("b", "a"))
    for _ in range(2):
        await story.finish(await story.running())
    run = await story.store.clear_run("flow", "run", story.now)
    assert (run.state.value, run.clear_number) == ("running", 1)
    await story.tick()
    assert await story.states() == {"a": "queued", "b": "scheduled"}
    with raises(NotFound, "not_found"):
        await story.store.clear_run("flow", "unknown", story.now)


async def a_run_with_a_mapped_task_is_mapped_anew_when_it_is_cleared(story: Story) -> None:
    await story.submit(task("list"), task("each", "list", map_over="list"))
    for items in ([1, 2, 3], [1, 2], [1, 2, 3, 4]):
        it = await story.running()
        await story.returned(it, items)
        await story.finish(it)
        names = {f"each[{index}]" for index in range(len(items))}
        live = {name for name, state in (await story.states()).items() if state != "removed"}
        assert live == {"list", *names}
        for _ in items:
            await story.finish(await story.running())
        assert await story.run_state() == "success"
        await story.store.clear_run("flow", "run", story.now)
        await story.tick()


async def a_kill_ends_it_in_any_unfinished_state(story: Story) -> None:
    await story.submit(task("a"), task("b", "a"))
    b = await story.find("b")
    assert (await story.store.kill(b.id, story.now, reason="not needed")).state is S.FAILED
    it = await story.running()
    killed = await story.store.kill(it.id, story.now, reason="too slow")
    assert (killed.state, killed.kind, killed.reason) == (S.FAILED, "killed", "too slow")
    with raises(Conflict, "not_running"):
        await story.store.heartbeat(it.id, "here", 7, story.now)
    await story.tick()
    assert await story.run_state() == "failed"


async def what_is_killed_keeps_its_slot_until_its_process_is_gone(story: Story) -> None:
    await story.store.set_pool("small", 1)
    await story.submit(*[task(name, pool="small") for name in "abcd"])
    for end in ("told", "its own", "lease"):
        it = await story.running()
        assert (await story.store.kill(it.id, story.now, reason="test")).state is S.FAILED
        assert await story.claim() == []
        seen = story.store.work_seen(["default"])
        if end == "told":
            assert await story.finish(it, ServerTerminated(end_date=story.now)) is Applied.AGAIN
        elif end == "its own":  # it failed by itself before its worker heard of the kill
            assert await story.finish(it, S.FAILED) is Applied.AGAIN
        else:
            story.later(31)
            await story.tick()
        assert await story.store.wait_for_work(["default"], seen, 20)
        assert (await story.told(it.task_id))[-1] == "gone"
    assert [pool.used for pool in await story.store.pools()] == [0]
    late = await story.running()
    await story.store.kill(late.id, story.now, reason="test")
    with raises(Conflict, "invalid_state"):
        await story.store.finish(late.id, Ended(state=S.FAILED, end_date=story.now), story.now, fence=late.fence - 1)
    assert [pool.used for pool in await story.store.pools()] == [1]


async def what_is_killed_and_cleared_begins_when_its_process_is_gone(story: Story) -> None:
    await story.submit(task(retries=1))
    it = await story.running()
    await story.store.kill(it.id, story.now, reason="test")
    assert (await story.store.mark(it.id, "skipped", story.now)).due is not None
    assert (await story.store.clear(it.id, story.now, keep_checkpoint=False))[0].state is S.RESTARTING
    await story.tick()
    assert await story.claim() == []
    story.later(31)
    await story.tick()
    again = await story.running()
    assert (again.try_number, again.max_tries) == (2, 2)
    assert again.id != it.id


async def failing_fast_leaves_the_slots_of_what_runs(story: Story) -> None:
    await story.submit(task("a"), task("b"), fail_fast=True)
    a, b = [(await story.start(each.instance)).instance for each in await story.claim(2)]
    await story.finish(a, S.FAILED)
    assert await story.run_state() == "failed"
    assert (await story.find("b")).due == b.due


async def what_is_finished_cannot_be_killed(story: Story) -> None:
    await story.submit()
    it = await story.running()
    await story.finish(it)
    with raises(Conflict, "invalid_state"):
        await story.store.kill(it.id, story.now, reason="late")


async def marking_by_hand_moves_the_run_on(story: Story) -> None:
    await story.submit(task("a"), task("b", "a"))
    await story.finish(await story.running(), S.FAILED)
    assert await story.run_state() == "failed"
    a = await story.find("a")
    assert (await story.store.mark(a.id, "success", story.now)).state is S.SUCCESS
    b = await story.find("b")
    await story.store.clear(b.id, story.now, keep_checkpoint=False)
    await story.tick()
    assert await story.states() == {"a": "success", "b": "queued"}
    with raises(Refused, "invalid_state"):
        await story.store.mark(a.id, "running", story.now)


async def why_it_was_marked_is_kept(story: Story) -> None:
    await story.submit()
    it = await story.running()
    await story.finish(it, S.FAILED)
    marked = await story.store.mark(it.id, "success", story.now, reason="checked by me")
    assert (marked.reason, marked.kind) == ("marked by hand: checked by me", None)
    assert (await story.store.timeline("flow", "run", "task"))[-1].why == "marked by hand: checked by me"
