from datetime import timedelta
from typing import Any

from protocol.states import TaskInstanceState as S
from server.faults import NotFound, Refused
from server.filters import AssetEventFilter, Retention, XComName
from server.outcomes import Ended, OutletEvent
from server.records import Connection
from tests.server.exercise.story import Story, raises, task

ODD = "a/../%2F'; DROP TABLE runs; --\" ✓ \u202e ?"
VALUES: list[Any] = [None, 0, -1, 1.5, True, "", ODD, "\0", [], {}, {ODD: [ODD, {"a": None}]}, 2**53, "x" * 4000]


def _name(key: str = "k", index: int = -1, *, run: str = "run", task_id: str = "task") -> XComName:
    return XComName(dag_id="flow", run_id=run, task_id=task_id, key=key, map_index=index)


async def an_xcom_comes_back_as_it_went(story: Story) -> None:
    await story.submit()
    for value in VALUES:
        await story.store.set_xcom(_name(ODD), value)
        found = await story.store.get_xcom(_name(ODD))
        assert found is not None
        assert found.value == value
    assert await story.store.get_xcom(_name("other")) is None
    await story.store.delete_xcom(_name(ODD))
    await story.store.delete_xcom(_name(ODD))
    assert await story.store.get_xcom(_name(ODD)) is None


async def an_xcom_needs_its_run_its_task_a_key_and_a_sane_size(story: Story) -> None:
    await story.submit()
    for name in (_name(run="unknown"), _name(task_id="unknown")):
        with raises(NotFound, "not_found"):
            await story.store.set_xcom(name, 1)
    for key in ("", "a\0b"):
        with raises(Refused, "invalid_key"):
            await story.store.set_xcom(_name(key), 1)
    with raises(Refused, "too_large"):
        await story.store.set_xcom(_name(), "x" * 5000)
    assert await story.store.get_xcom(_name(run="unknown")) is None


async def xcoms_of_map_indexes_are_in_order(story: Story) -> None:
    await story.submit()
    for index in (2, 0, 10, 1):
        await story.store.set_xcom(_name(index=index), index)
    assert [one.value for one in await story.store.get_xcoms(_name())] == [0, 1, 2, 10]
    assert await story.store.count_xcoms(_name()) == 4
    assert await story.store.get_xcoms(_name("other")) == []
    assert await story.store.count_xcoms(_name("other")) == 0


async def prior_dates_give_the_latest_that_has_it(story: Story) -> None:
    for run in ("one", "two", "three", "four"):
        await story.submit(run_id=run)
        story.later(60)
    await story.store.set_xcom(_name(run="one"), 1)
    await story.store.set_xcom(_name(run="two"), 2)
    await story.store.set_xcom(_name(run="four"), 4)
    found = await story.store.get_xcom(_name(run="three"), include_prior_dates=True)
    assert found is not None
    assert found.value == 2
    assert [one.value for one in await story.store.get_xcoms(_name(run="three"), include_prior_dates=True)] == [2]
    assert await story.store.get_xcom(_name(run="three")) is None
    assert await story.store.get_xcom(_name("other", run="three"), include_prior_dates=True) is None


async def variables_are_written_listed_and_removed(story: Story) -> None:
    store = story.store
    for key in ("b", "a_2", "a%1", ODD):
        await store.set_variable(key, f"value of {key}", None)
    await store.set_variable("b", None, "described")
    found = await store.get_variable("b")
    assert found is not None
    assert (found.value, found.description) == (None, "described")
    assert await store.variable_keys(None, 2, 1) == ((sorted(["b", "a_2", "a%1", ODD]))[1:3], 4)
    assert await store.variable_keys("a_", 10, 0) == (["a_2"], 1)
    assert await store.delete_variable(ODD)
    assert not await store.delete_variable(ODD)
    assert await store.get_variable(ODD) is None
    for key in ("", "\0"):
        with raises(Refused, "invalid_key"):
            await store.set_variable(key, "", None)


async def what_no_database_can_keep_is_refused(story: Story) -> None:
    with raises(Refused, "value_error"):
        await story.store.set_variable("key", "\ud800", None)
    assert await story.store.get_variable("key") is None


async def connections_are_kept_whole(story: Story) -> None:
    one = Connection(conn_id=ODD, conn_type="http", host="h", schema="s", login="l", password=ODD, port=1, extra="{}")
    two = Connection(conn_id="a", conn_type="x")
    for connection in (one, two, one):
        await story.store.set_connection(connection)
    assert await story.store.get_connection(ODD) == one
    assert set(await story.store.connection_ids()) == {"a", ODD}
    assert await story.store.seal_anew() == 0
    assert await story.store.delete_connection("a")
    assert not await story.store.delete_connection("a")
    assert await story.store.get_connection("a") is None


async def the_state_store_is_shared_by_all_attempts_and_expires(story: Story) -> None:
    await story.submit(task(retries=1, retry_delay_s=0))
    first = await story.running()
    for value in VALUES[1:]:
        await story.store.set_state(first.id, ODD, value, None)
        assert await story.store.get_state(first.id, ODD, story.now) == value
    await story.store.set_state(first.id, "soon", 1, story.now + timedelta(seconds=5))
    await story.finish(first, story.retried())
    await story.tick()
    second = await story.running()
    assert await story.store.get_state(second.id, "soon", story.now) == 1
    story.later(5)
    assert await story.store.get_state(second.id, "soon", story.now) is None
    assert (await story.store.prune(Retention(), story.now)).values == 1
    await story.store.set_state(second.id, "other", 1, None)
    await story.store.delete_state(second.id, ODD)
    assert await story.store.get_state(second.id, ODD, story.now) is None
    await story.store.delete_state(second.id, None)
    assert await story.store.get_state(second.id, "other", story.now) is None
    with raises(Refused, "too_large"):
        await story.store.set_state(second.id, "k", "x" * 5000, None)


async def assets_are_found_by_name_uri_or_both(story: Story) -> None:
    store = story.store
    one = await store.set_asset("one", "s3://one", extra={"a": 1})
    assert await store.get_asset(name="one") == await store.get_asset(uri="s3://one") == one
    assert await store.get_asset(name="one", uri="s3://other") is None
    assert await store.get_asset() is None
    again = await store.set_asset("one", "s3://moved", "group")
    assert (again.key, again.uri, again.group) == (one.key, "s3://moved", "group")
    with raises(Refused, "value_error"):
        await store.set_asset("two", "s3://moved")
    assert await store.assets_of_alias("unknown") == []


async def events_of_assets_are_filtered_and_ordered(story: Story) -> None:
    asset = await story.store.set_asset("one", "s3://one")
    for number in range(3):
        await story.submit(run_id=f"run{number}")
        outlet = OutletEvent(name="one", extra={"n": number}, partition_key=f"p{number}")
        it = await story.running()
        await story.finish(it, Ended(state=S.SUCCESS, end_date=story.now, outlets=(outlet,)))
        story.later(60)
    begin = story.now - timedelta(seconds=180)

    async def numbers(**which: Any) -> list[int]:
        events = await story.store.asset_events(AssetEventFilter(assets=[asset.key], **which))
        return [event.extra["n"] for event in events if event.extra]

    assert await numbers() == [0, 1, 2]
    assert await numbers(ascending=False, limit=2) == [2, 1]
    assert await numbers(after=begin + timedelta(seconds=30)) == [1, 2]
    assert await numbers(before=begin + timedelta(seconds=30)) == [0]
    assert await numbers(partition_key="p1") == [1]
    assert await story.store.asset_events(AssetEventFilter(assets=[])) == []


async def an_asset_has_a_store_of_its_own(story: Story) -> None:
    store = story.store
    asset = await store.set_asset("one", "s3://one")
    for value in VALUES[1:]:
        await store.set_asset_state(asset.key, ODD, value)
        assert await store.get_asset_state(asset.key, ODD) == value
    await store.set_asset_state(asset.key, "other", 1)
    await store.delete_asset_state(asset.key, ODD)
    assert await store.get_asset_state(asset.key, ODD) is None
    await store.delete_asset_state(asset.key, None)
    assert await store.get_asset_state(asset.key, "other") is None
    with raises(Refused, "too_large"):
        await store.set_asset_state(asset.key, "k", "x" * 5000)
