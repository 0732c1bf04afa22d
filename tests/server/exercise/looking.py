from datetime import timedelta
from typing import Any

from protocol.flows import FlowGraph
from protocol.states import TaskInstanceState as S
from server.faults import Archived, NotFound
from server.filters import InstanceFilter, RunFilter
from server.records import NewRun
from tests.server.exercise.story import Story, raises, task


async def _daily(story: Story, days: int = 3) -> None:
    """Runs with logical dates, one a day, each succeeded."""
    graph = FlowGraph(dag_id="flow", tasks=[task()])
    for day in range(days):
        date = story.now + timedelta(days=day)
        new = NewRun(dag_id="flow", run_id=f"day{day}", logical_date=date, conf={"day": day}, note=f"note {day}")
        await story.store.submit(graph, new, story.now)
        await story.tick()
        await story.finish(await story.running(), S.FAILED if day == 1 else S.SUCCESS)


async def a_run_is_as_it_was_submitted(story: Story) -> None:
    await _daily(story)
    run = await story.store.run("flow", "day1")
    assert run is not None
    assert (run.conf, run.note, run.logical_date) == ({"day": 1}, "note 1", story.now + timedelta(days=1))
    assert run.end_date == story.now
    assert await story.store.run("flow", "unknown") is None
    flow = await story.store.flow("flow")
    assert flow is not None
    assert await story.store.graph("flow", "day1") == flow.graph
    assert await story.store.graph("flow", "unknown") is None
    assert [each.dag_id for each in await story.store.flows()] == ["flow"]


async def runs_are_listed_newest_first_and_counted(story: Story) -> None:
    await _daily(story)

    async def names(**which: Any) -> list[str]:
        runs = await story.store.runs(RunFilter(**which))
        assert len(runs) == await story.store.count_runs(RunFilter(**which))
        return [run.run_id for run in runs]

    assert await names() == ["day2", "day1", "day0"]
    assert await names(states=["failed"]) == ["day1"]
    assert await names(states=[]) == []
    assert await names(dag_id="other") == []
    assert await names(run_ids=["day0", "day2", "x"]) == ["day2", "day0"]
    assert await names(logical_dates=[story.now]) == ["day0"]
    assert [run.run_id for run in await story.store.runs(RunFilter(), limit=1, offset=1)] == ["day1"]


async def what_came_before_is_found(story: Story) -> None:
    await _daily(story)
    last = story.now + timedelta(days=2)
    run = await story.store.previous_run("flow", last, None)
    assert run is not None
    assert run.run_id == "day1"
    run = await story.store.previous_run("flow", last, "success")
    assert run is not None
    assert run.run_id == "day0"
    assert await story.store.previous_run("flow", story.now, None) is None
    it = await story.find(run_id="day2")
    run = await story.store.previous_success(it.id)
    assert run is not None
    assert run.run_id == "day0"
    found = await story.store.previous_instance("flow", "task", last, -1, None)
    assert found is not None
    assert found[1].run_id == found[0].run_id == "day1"
    found = await story.store.previous_instance("flow", "task", None, -1, "failed")
    assert found is not None
    assert found[1].run_id == "day1"
    assert await story.store.previous_instance("flow", "task", story.now, -1, None) is None
    first = await story.find(run_id="day0")
    assert await story.store.previous_success(first.id) is None
    with raises(NotFound, "not_found"):
        await story.store.previous_success("unknown")


async def instances_are_listed_and_counted(story: Story) -> None:
    await story.submit(task("a"), task("b"), run_id="one")
    await story.submit(task("a"), task("b"), run_id="two")
    await story.running()

    async def names(**which: Any) -> list[tuple[str, str]]:
        filter_ = InstanceFilter(**which)
        found = await story.store.instances(filter_)
        assert len(found) == await story.store.count_instances(filter_)
        assert len(found) == len(await story.store.instance_states(filter_))
        return [(it.run_id, it.task_id) for it in found]

    assert await names() == [("two", "a"), ("two", "b"), ("one", "a"), ("one", "b")]
    assert await names(run_ids=["one"], task_ids=["b", "c"]) == [("one", "b")]
    assert await names(states=["running"]) == [("one", "a")]
    assert await names(worker="w") == [("one", "a")]
    assert await names(map_index=3) == []
    assert await names(dag_id="flow", logical_dates=[story.now]) == []
    assert await story.store.state_counts() == {"queued": 3, "running": 1}


async def an_attempt_is_found_by_its_id_also_when_it_was_replaced(story: Story) -> None:
    await story.submit(task(retries=1))
    it = await story.running()
    await story.finish(it, story.retried())
    old = await story.store.attempt(it.id)
    assert old is not None
    assert (old.current, old.try_number, old.hostname, old.worker) == (False, 1, "here", "w")
    new = await story.store.attempt((await story.find()).id)
    assert new is not None
    assert (new.current, new.try_number) == (True, 2)
    assert await story.store.attempt("unknown") is None
    with raises(Archived, "not_found"):
        await story.store.instance(it.id)
    assert await story.store.instance(new.id) == await story.find()
    with raises(NotFound, "not_found"):
        await story.store.instance("unknown")


async def attempts_are_found_by_the_beginning_of_their_id(story: Story) -> None:
    await story.submit(task(retries=1))
    it = await story.running()
    await story.finish(it, story.retried())
    new = await story.find()
    for one, current in ((it, False), (new, True)):
        assert [(found.id, found.current) for found in await story.store.attempts_like(one.id[:-1], 5)] == [
            (one.id, current)
        ]
    assert {found.id for found in await story.store.attempts_like(it.id[:2], 5)} == {it.id, new.id}
    assert len(await story.store.attempts_like(it.id[:2], 1)) == 1
    assert await story.store.attempts_like("ffff", 5) == []


async def runs_are_counted_by_the_states_of_their_instances(story: Story) -> None:
    runs = [await story.submit(task("a"), task("b", "a"), task("c", "a"), run_id=name) for name in ("one", "two")]
    await story.running()
    assert await story.store.counts(runs) == [
        {"running": 1, "scheduled": 2},
        {"queued": 1, "scheduled": 2},
    ]
    assert await story.store.counts([]) == []


async def the_timeline_tells_the_whole_story(story: Story) -> None:
    await story.submit(task(retries=1, retry_delay_s=5))
    it = await story.running()
    await story.finish(it, story.retried(retry_reason="flaky"))
    story.later(6)
    await story.tick()
    await story.finish(await story.running())
    events = await story.store.timeline("flow", "run", "task")
    assert [event.what for event in events] == [
        "ready", "claim", "run", "told_retry", "retry_due", "claim", "run", "told_success",
    ]  # fmt: skip
    assert [event.attempt_id == it.id for event in events] == [True] * 4 + [False] * 4
    assert [event.try_number for event in events] == [1] * 4 + [2] * 4
    told = events[3]
    assert (told.why, told.detail is not None and told.detail["kind"]) == ("flaky", "app")
    assert events[4].at == story.now
    assert await story.store.timeline("flow", "run", "unknown") == []


async def a_note_is_written_and_removed(story: Story) -> None:
    await story.submit()
    await story.store.set_run_note("flow", "run", "✓")
    run = await story.store.run("flow", "run")
    assert run is not None
    assert run.note == "✓"
    with raises(NotFound, "not_found"):
        await story.store.set_run_note("flow", "unknown", "x")
