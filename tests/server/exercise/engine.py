from datetime import timedelta
from typing import cast

from protocol.flows import FlowGraph
from protocol.messages.startup import MappedArgBinding
from protocol.states import TaskInstanceState as S
from server.faults import Conflict, NotFound, Refused
from server.filters import AssetEventFilter, Retention
from server.outcomes import Ended, OutletEvent
from server.records import NewRun
from server.sql.transaction import HasDatabase, Transaction
from tests.server.exercise.story import Story, raises, task


async def tasks_run_in_the_order_of_the_graph(story: Story) -> None:
    await story.submit(task("end", "left", "right"), task("left", "start"), task("right", "start"), task("start"))
    assert await story.states() == {"end": "scheduled", "left": "scheduled", "right": "scheduled", "start": "queued"}
    await story.finish(await story.running())
    for _ in range(2):
        assert (await story.states())["end"] == "scheduled"
        await story.finish(await story.running())
    await story.finish(await story.running())
    assert set((await story.states()).values()) == {"success"}
    assert await story.run_state() == "success"


async def a_failure_goes_down_and_trigger_rules_catch_it(story: Story) -> None:
    await story.submit(
        task("bad"),
        task("after", "bad"),
        task("far", "after"),
        task("alarm", "bad", trigger_rule="one_failed"),
        task("tidy", "far", "alarm", trigger_rule="all_done"),
    )
    await story.finish(await story.running(), S.FAILED)
    assert await story.states() == {
        "bad": "failed",
        "after": "upstream_failed",
        "far": "upstream_failed",
        "alarm": "queued",
        "tidy": "scheduled",
    }
    await story.finish(await story.running())
    await story.finish(await story.running())
    assert await story.run_state() == "success"


async def fail_fast_ends_the_rest(story: Story) -> None:
    await story.submit(task("a"), task("b"), task("c"), task("d", "c"), fail_fast=True)
    bad, other = await story.running(), await story.running()
    await story.finish(bad, S.FAILED)
    assert sorted((await story.states()).values()) == ["failed", "failed", "skipped", "skipped"]
    with raises(Conflict, "not_running"):
        await story.store.heartbeat(other.id, "here", 7, story.now)
    assert await story.run_state() == "failed"


async def a_mapped_task_has_one_instance_for_each_item(story: Story) -> None:
    mapped = task("each", "list", map_over="list", args=[MappedArgBinding("x", "list")])
    await story.submit(task("list"), mapped, task("sum", "each"))
    it = await story.running()
    await story.returned(it, ["a", "b", "c"])
    await story.finish(it)
    assert await story.states() == {
        "list": "success",
        "each[0]": "queued",
        "each[1]": "queued",
        "each[2]": "queued",
        "sum": "scheduled",
    }
    claimed = await story.claim(5)
    assert [each.instance.map_index for each in claimed] == [0, 1, 2]
    for each in claimed:
        it = (await story.start(each.instance)).instance
        await story.returned(it, it.map_index)
        await story.finish(it)
    assert (await story.states())["sum"] == "queued"
    assert await story.told("each", 2) == ["ready", "claim", "run", "told_success"]


async def a_task_mapped_over_a_mapped_one_has_as_many(story: Story) -> None:
    await story.submit(task("list"), task("one", "list", map_over="list"), task("two", "one", map_over="one"))
    it = await story.running()
    await story.returned(it, [1, 2])
    await story.finish(it)
    for _ in range(2):
        it = await story.running()
        await story.returned(it, "x")
        await story.finish(it)
    assert {name for name in await story.states() if name.startswith("two")} == {"two[0]", "two[1]"}


async def _mapped_over(story: Story, value: object) -> dict[str, str]:
    await story.submit(task("list"), task("each", "list", map_over="list"))
    it = await story.running()
    if value is not None:
        await story.returned(it, value)
    await story.finish(it)
    return await story.states()


async def an_empty_list_skips(story: Story) -> None:
    assert await _mapped_over(story, []) == {"list": "success", "each": "skipped"}
    assert await story.run_state() == "success"


async def what_is_no_list_fails(story: Story) -> None:
    assert await _mapped_over(story, 7) == {"list": "success", "each": "failed"}


async def no_value_at_all_fails(story: Story) -> None:
    assert await _mapped_over(story, None) == {"list": "success", "each": "failed"}


async def too_long_a_list_fails_with_the_reason(story: Story) -> None:
    assert await _mapped_over(story, list(range(51))) == {"list": "success", "each": "failed"}
    [event] = await story.store.timeline("flow", "run", "each")
    assert "51 items; 50 is the limit" in event.why


async def a_paused_flow_queues_nothing_new(story: Story) -> None:
    await story.submit(task("a"), task("b", "a"))
    assert await story.store.pause("flow", paused=True)
    await story.finish(await story.running())
    assert await story.states() == {"a": "success", "b": "scheduled"}
    assert await story.store.pause("flow", paused=False)
    await story.tick()
    assert await story.states() == {"a": "success", "b": "queued"}
    assert not await story.store.pause("unknown", paused=True)


async def a_run_waits_for_its_moment(story: Story) -> None:
    graph = FlowGraph(dag_id="flow", tasks=[task()])
    after = story.now + timedelta(seconds=30)
    await story.store.submit(graph, NewRun(dag_id="flow", run_id="run", run_after=after), story.now)
    ticked = await story.store.tick(story.now)
    assert ticked.next_due == after
    assert await story.run_state() == "queued"
    story.later(31)
    await story.tick()
    assert await story.run_state() == "running"
    assert await story.states() == {"task": "queued"}


async def a_run_id_is_taken_once(story: Story) -> None:
    await story.submit()
    with raises(Conflict, "already_exists"):
        await story.submit()
    with raises(Conflict, "already_exists"):
        await story.store.start_run(NewRun(dag_id="flow", run_id="run"), story.now)
    with raises(NotFound, "not_found"):
        await story.store.start_run(NewRun(dag_id="unknown", run_id="run"), story.now)
    assert (await story.store.start_run(NewRun(dag_id="flow", run_id="other"), story.now)).run_id == "other"


async def a_graph_that_cannot_run_is_refused(story: Story) -> None:
    with raises(Refused, "value_error"):
        await story.submit(task("a", "b"), task("b", "a"))
    with raises(Refused, "value_error"):
        graph = FlowGraph(dag_id="other", tasks=[task()])
        await story.store.submit(graph, NewRun(dag_id="flow", run_id="run"), story.now)
    assert await story.store.flow("flow") is None


async def a_lost_attempt_is_retried_and_then_fails(story: Story) -> None:
    await story.submit(task(retries=1, retry_delay_s=0))
    first = await story.running()
    story.later(31)
    await story.tick()
    await story.tick()
    second = await story.running()
    assert (second.try_number, second.id != first.id) == (2, True)
    story.later(31)
    await story.tick()
    found = await story.find()
    assert (found.state, found.kind) == (S.FAILED, "lost")
    assert found.reason is not None
    assert "no heartbeat" in found.reason
    [old, _] = await story.store.attempts("flow", "run", "task")
    assert (old.kind, old.state) == ("lost", "up_for_retry")
    assert await story.run_state() == "failed"


async def a_tick_that_stops_at_its_limit_says_so(story: Story) -> None:
    await story.submit(*[task(f"t{number}") for number in range(5)])
    await story.claim(5)
    story.later(31)
    assert [(await story.store.tick(story.now, limit=3)).more for _ in range(2)] == [True, False]


async def who_ticks_is_woken_by_a_change(story: Story) -> None:
    seen = story.store.change_seen()
    assert not await story.store.wait_for_change(seen, 0.01)
    await story.submit()
    assert await story.store.wait_for_change(seen, 20)


async def old_runs_are_pruned_with_all_they_left(story: Story) -> None:
    for name in ("old", "busy"):
        await story.submit(task(retries=1), run_id=name)
    it = await story.running()
    await story.save(it, 1)
    await story.returned(it, 1)
    await story.finish(it)
    story.later(100)
    assert (await story.store.prune(Retention(), story.now)).runs == []
    assert (await story.store.prune(Retention(runs=200), story.now)).runs == []
    pruned = await story.store.prune(Retention(runs=50), story.now)
    assert pruned.runs == [("flow", "old")]
    assert await story.store.run("flow", "old") is None
    assert await story.states("busy") == {"task": "queued"}
    assert await story.store.attempt(it.id) is None


async def a_graph_goes_with_the_last_run_that_has_it(story: Story) -> None:
    for number in range(2):
        await story.submit(task(priority=number), run_id=f"run{number}")
        await story.finish(await story.running())
    story.later(100)
    assert len((await story.store.prune(Retention(runs=50), story.now)).runs) == 2
    with raises(Conflict, "already_exists"):
        await story.submit(task(priority=1), run_id="again")
        await story.submit(task(priority=1), run_id="again")
    assert (await story.running()).run_id == "again"
    await story.submit(task(priority=0), run_id="former")
    assert (await story.running()).run_id == "former"


async def events_of_assets_and_silent_triggerers_are_pruned_too(story: Story) -> None:
    job = await story.store.register_job("TriggererJob", "here", story.now)
    asset = await story.store.set_asset("one", "s3://one")
    for number in range(2):
        await story.submit(run_id=f"run{number}")
        outlet = OutletEvent(name="one", extra={"n": number})
        await story.finish(await story.running(), Ended(state=S.SUCCESS, end_date=story.now, outlets=(outlet,)))
        story.later(60)
    await story.store.prune(Retention(runs=90), story.now)
    left = await story.store.asset_events(AssetEventFilter(assets=[asset.key]))
    assert [event.extra for event in left] == [{"n": 1}]
    assert not await story.store.job_heartbeat(job, story.now)


async def the_store_is_ready(story: Story) -> None:
    await story.store.ready(story.now)
    await story.store.open()


async def a_run_that_cannot_be_read_holds_up_no_other(story: Story) -> None:
    """Its graph is damaged, or of a form that a newer version wrote: it waits, and it is told."""
    await story.submit(task("task"), run_id="broken")
    broken = await story.running()
    await _graph_of(story, "broken", "damaged")
    await story.submit(task("task"), run_id="sound")
    sound = await story.running()
    story.later(31)
    ticked = await story.store.tick(story.now)
    assert [broken.id in fault for fault in ticked.faults] == [True]
    assert await story.states("sound") == {"task": "failed"}
    assert await story.states("broken") == {"task": "running"}
    assert sound.id not in str(ticked.faults)
    assert (await story.store.tick(story.now)).faults == []
    await _graph_of(story, "broken", None)
    story.later(61)
    await story.tick()
    assert await story.states("broken") == {"task": "failed"}


async def a_run_that_cannot_be_read_is_not_begun_and_others_are(story: Story) -> None:
    for run in ("broken", "sound"):
        graph = FlowGraph(dag_id="flow", tasks=[task("task")])
        await story.store.submit(graph, NewRun(dag_id="flow", run_id=run), story.now)
    await _graph_of(story, "broken", "damaged")
    ticked = await story.store.tick(story.now)
    assert ["run flow/broken" in fault for fault in ticked.faults] == [True]
    assert await story.states("sound") == {"task": "queued"}
    assert await story.states("broken") == {"task": "scheduled"}
    assert not ticked.more


async def _graph_of(story: Story, run: str, digest: str | None) -> None:
    """Give a run a graph that nobody can read; None gives it that of the others."""

    def work(tx: Transaction) -> None:
        tx.run("INSERT INTO graphs (hash, graph) VALUES ('damaged', '{}') ON CONFLICT (hash) DO NOTHING")
        found = tx.row("SELECT hash FROM graphs WHERE hash <> 'damaged'")
        assert found is not None
        tx.run("UPDATE runs SET graph = ? WHERE run_id = ?", digest or found[0], run)

    await cast("HasDatabase", story.store).database.write(work)
