import asyncio
from collections import Counter

from server.faults import Conflict
from server.records import Claimed
from tests.server.exercise.story import HERE, Story, raises, task


async def a_claim_gives_what_is_queued_once(story: Story) -> None:
    await story.submit()
    [claimed] = await story.claim(5)
    assert claimed.instance.task_id == claimed.task.task_id == "task"
    assert claimed.instance.worker == "w"
    assert claimed.instance.fence == 1
    assert claimed.instance.due is not None
    assert claimed.graph.dag_id == "flow"
    assert await story.claim(5) == []


async def priority_comes_first_and_then_age(story: Story) -> None:
    await story.submit(task("low"), task("high", priority=5), run_id="one")
    story.later(1)
    await story.submit(task("low"), task("high", priority=5), run_id="two")
    claimed = await story.claim(10)
    names = [(each.instance.run_id, each.instance.task_id) for each in claimed]
    assert names == [("one", "high"), ("two", "high"), ("one", "low"), ("two", "low")]


async def a_claim_takes_only_from_its_queues_the_best_of_all(story: Story) -> None:
    await story.submit(task("a"), task("b", queue="gpu", priority=1), task("c", queue="other"))
    claimed = await story.claim(5, queues=["default", "gpu", "gpu"])
    assert [each.instance.task_id for each in claimed] == ["b", "a"]


async def a_claim_takes_only_runtimes_it_can_start(story: Story) -> None:
    await story.submit(task("any"), task("go", runtime="go"), task("java", runtime="java"))
    claimed = await story.store.claim("w", ["default"], 5, ["go"], story.now)
    assert {each.instance.task_id for each in claimed} == {"any", "go"}
    assert [each.instance.task_id for each in await story.claim(5)] == ["java"]


async def a_limited_pool_is_not_overfilled(story: Story) -> None:
    await story.store.set_pool("small", 3)
    await story.submit(*[task(f"t{number}", pool="small", slots=2) for number in range(3)], task("free"))
    claimed = await story.claim(10)
    assert Counter(each.instance.pool for each in claimed) == {"small": 1, "default_pool": 1}
    assert [pool.used for pool in await story.store.pools()] == [2]
    await story.start(claimed[0].instance)
    await story.start(claimed[1].instance)
    for each in claimed:
        await story.finish(each.instance)
    assert len(await story.claim(10)) == 1


async def the_first_of_a_full_pool_is_not_overtaken(story: Story) -> None:
    await story.store.set_pool("small", 2)
    await story.submit(task("first", pool="small", priority=9), run_id="one")
    [first] = await story.claim()
    await story.submit(task("wide", pool="small", slots=2, priority=8), task("narrow", pool="small"), run_id="two")
    assert await story.claim(10) == []
    await story.start(first.instance)
    await story.finish(first.instance)
    assert [each.instance.task_id for each in await story.claim(10)] == ["wide"]


async def what_is_wider_than_its_pool_holds_up_nobody(story: Story) -> None:
    await story.store.set_pool("small", 2)
    await story.submit(task("never", pool="small", slots=3, priority=9), task("other", pool="small"))
    assert [each.instance.task_id for each in await story.claim()] == ["other"]


async def a_claim_that_is_not_started_goes_to_another_under_a_higher_fence(story: Story) -> None:
    await story.submit()
    [first] = await story.claim()
    story.later(31)
    await story.tick()
    [second] = await story.claim(worker="other")
    assert (second.instance.id, second.instance.fence) == (first.instance.id, 2)
    with raises(Conflict, "invalid_state"):
        await story.start(first.instance)
    await story.start(second.instance, HERE)
    assert await story.told() == ["ready", "claim", "claim_over", "claim", "run"]


async def eight_claim_at_once_and_nothing_is_claimed_twice_or_left(story: Story) -> None:
    for number in range(6):
        await story.submit(*[task(f"t{index}") for index in range(20)], run_id=f"run{number}")

    async def work(name: str) -> list[Claimed]:
        mine = []
        while claimed := await story.claim(3, worker=name):
            mine += claimed
        return mine

    taken = await asyncio.gather(*[work(f"w{number}") for number in range(8)])
    ids = [each.instance.id for mine in taken for each in mine]
    assert len(ids) == len(set(ids)) == 120
    assert all(each.instance.worker == f"w{number}" for number, mine in enumerate(taken) for each in mine)


async def eight_claim_from_a_pool_and_it_is_never_overfilled(story: Story) -> None:
    await story.store.set_pool("small", 5)
    await story.submit(*[task(f"t{index}", pool="small") for index in range(30)])
    taken = await asyncio.gather(*[story.claim(3, worker=f"w{number}") for number in range(8)])
    assert sum(map(len, taken)) == 5


async def who_waits_for_work_is_woken_by_it(story: Story) -> None:
    seen = story.store.work_seen(["default"])
    waiting = asyncio.create_task(story.store.wait_for_work(["default"], seen, 20))
    await story.submit()
    assert await waiting
    assert await story.store.wait_for_work(["default"], seen, 20)


async def who_waits_for_a_slot_of_a_pool_is_woken_when_one_is_free(story: Story) -> None:
    await story.store.set_pool("small", 1)
    await story.submit(task("a", pool="small", priority=1), task("b", pool="small"), task("c"))
    limited, free = [(await story.start(each.instance)).instance for each in await story.claim(3)]
    seen = story.store.work_seen(["default"])
    assert await story.claim() == []
    await story.finish(free)
    assert not await story.store.wait_for_work(["default"], seen, 0.01)
    await story.finish(limited)
    assert await story.store.wait_for_work(["default"], seen, 20)
    assert len(await story.claim()) == 1


async def what_was_claimed_for_somebody_who_is_gone_is_given_back(story: Story) -> None:
    await story.submit(task("given"), task("began"))
    claimed = await story.claim(2, worker="gone")
    began = next(each.instance for each in claimed if each.instance.task_id == "began")
    await story.start(began)
    await story.store.give_back(claimed, story.now)
    [again] = await story.claim(2, worker="other")
    assert (again.instance.task_id, again.instance.fence) == ("given", 2)
    await story.store.give_back(claimed, story.now)
    assert await story.claim() == []


async def who_waits_for_work_elsewhere_is_not(story: Story) -> None:
    seen = story.store.work_seen(["gpu"])
    await story.submit()
    assert not await story.store.wait_for_work(["gpu"], seen, 0.01)
