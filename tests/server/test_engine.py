from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from protocol.flows import FlowGraph, ResumePolicy, TaskSpec, TriggerRule
from protocol.messages.checkpoints import StopReason
from protocol.messages.runs import DagRunState
from protocol.states import TaskInstanceState
from server.engine import (
    Advance,
    Change,
    Expand,
    ResumeFrom,
    Standing,
    Tally,
    advance,
    changed,
    decide,
    expansion,
    fall_back,
    hold,
    lost,
    may_retry,
    plan,
    progressed,
    resume,
    retry_at,
    run_state,
)
from server.rules import Event

S = TaskInstanceState
R = TriggerRule


def task(name: str, *upstreams: str, **more: Any) -> TaskSpec:
    return TaskSpec(task_id=name, upstreams=list(upstreams), **more)


def decided(*tasks: TaskSpec, states: dict[str, Tally], fail_fast: bool = False, **more: Any) -> Advance:
    graph = plan(FlowGraph(dag_id="f", tasks=list(tasks), fail_fast=fail_fast))
    return advance(graph, states, more.pop("expanded", ()), **more)


def done(changes: list[Change]) -> dict[str | None, Event]:
    return {change.task_id: change.event for change in changes}


def test_a_plan_has_each_task_after_its_upstreams() -> None:
    made = plan(FlowGraph(dag_id="f", tasks=[task("c", "b", "a"), task("b", "a"), task("a"), task("d")]))
    order = list(made.tasks)
    assert order.index("a") < order.index("b") < order.index("c")
    assert made.leaves == {"c", "d"}


WAITS, READY, SKIP, FAIL = None, Event.READY, Event.SKIP, Event.UPSTREAM_FAIL
RULES = (R.ALL_SUCCESS, R.ALL_DONE, R.ONE_FAILED, R.NONE_FAILED)


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        ({S.RUNNING: 1}, (WAITS, WAITS, WAITS, WAITS)),
        ({S.CHECKPOINTED: 1}, (WAITS, WAITS, WAITS, WAITS)),
        ({S.SUCCESS: 2}, (READY, READY, SKIP, READY)),
        ({S.SUCCESS: 1, S.FAILED: 1}, (FAIL, READY, READY, FAIL)),
        ({S.UPSTREAM_FAILED: 1}, (FAIL, READY, READY, FAIL)),
        ({S.RUNNING: 1, S.FAILED: 1}, (FAIL, WAITS, READY, FAIL)),
        ({S.SUCCESS: 1, S.SKIPPED: 1}, (SKIP, READY, SKIP, READY)),
        ({S.RUNNING: 1, S.SKIPPED: 1}, (SKIP, WAITS, WAITS, WAITS)),
        ({S.SUCCESS: 1, S.REMOVED: 1}, (READY, READY, SKIP, READY)),
    ],
)
def test_trigger_rules(upstream: dict[S, int], expected: tuple[Event | None, ...]) -> None:
    for rule, event in zip(RULES, expected, strict=True):
        change = decide(task("t", "u", trigger_rule=rule), [upstream])
        assert (change and change.event) == event, rule


def test_a_task_without_upstreams_is_ready_and_says_why() -> None:
    assert decide(task("t"), []) == Change("t", Event.READY, "all_success: it has no upstreams")


def test_decisions_go_all_the_way_down_at_once() -> None:
    tasks = [task("a"), task("b", "a"), task("c", "b"), task("d", "c", trigger_rule=R.ALL_DONE)]
    states: dict[str, Tally] = {"a": {S.FAILED: 1}, "b": {S.SCHEDULED: 1}, "c": {S.SCHEDULED: 2}, "d": {S.SCHEDULED: 1}}
    found = decided(*tasks, states=states)
    assert done(found.changes) == {"b": FAIL, "c": FAIL, "d": READY}
    assert found.state is DagRunState.RUNNING


def test_what_is_not_waiting_is_left_alone() -> None:
    found = decided(task("a"), task("b", "a"), states={"a": {S.SUCCESS: 1}, "b": {S.RUNNING: 1}})
    assert (found.changes, found.expansions) == ([], [])


def test_a_paused_flow_queues_nothing_but_still_fails_and_skips() -> None:
    tasks = [task("a"), task("b", "a"), task("c")]
    states: dict[str, Tally] = {"a": {S.FAILED: 1}, "b": {S.SCHEDULED: 1}, "c": {S.SCHEDULED: 1}}
    assert done(decided(*tasks, states=states, paused=True).changes) == {"b": FAIL}


def test_a_mapped_task_is_expanded_before_it_is_ready() -> None:
    tasks = [task("a"), task("b", "a", map_over="a"), task("c", "b")]
    states: dict[str, Tally] = {"a": {S.SUCCESS: 1}, "b": {S.SCHEDULED: 1}, "c": {S.SCHEDULED: 1}}
    found = decided(*tasks, states=states)
    assert (found.changes, found.expansions) == ([], [Expand("b", "a")])
    found = decided(*tasks, states=states, expanded={"b"})
    assert (done(found.changes), found.expansions) == ({"b": READY}, [])


def test_fail_fast_ends_what_is_left() -> None:
    tasks = [task("a"), task("b"), task("c", "b")]
    states: dict[str, Tally] = {"a": {S.FAILED: 1}, "b": {S.RUNNING: 1}, "c": {S.SCHEDULED: 1}}
    found = decided(*tasks, states=states, fail_fast=True)
    assert done(found.changes) == {None: Event.FAIL_FAST}
    assert found.state is DagRunState.FAILED
    over: dict[str, Tally] = {"a": {S.FAILED: 1}, "b": {S.FAILED: 1}, "c": {S.SKIPPED: 1}}
    found = decided(*tasks, states=over, fail_fast=True)
    assert (found.changes, found.state) == ([], DagRunState.FAILED)
    fine: dict[str, Tally] = {"a": {S.SUCCESS: 1}, "b": {S.RUNNING: 1}, "c": {S.SCHEDULED: 1}}
    assert decided(*tasks, states=fine, fail_fast=True).changes == []


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (S.SUCCESS, DagRunState.SUCCESS),
        (S.SKIPPED, DagRunState.SUCCESS),
        (S.REMOVED, DagRunState.SUCCESS),
        (S.FAILED, DagRunState.FAILED),
        (S.UPSTREAM_FAILED, DagRunState.FAILED),
        (S.CHECKPOINTED, DagRunState.RUNNING),
        (S.UP_FOR_RETRY, DagRunState.RUNNING),
    ],
)
def test_a_run_is_what_its_leaves_came_to(end: S, expected: DagRunState) -> None:
    graph = plan(FlowGraph(dag_id="f", tasks=[task("a"), task("b", "a")]))
    assert run_state(graph, {"a": {S.FAILED: 1}, "b": {end: 1, S.SUCCESS: 3}}) is expected


@pytest.mark.parametrize(
    ("length", "upstream", "event"),
    [
        (3, {S.SUCCESS: 1}, None),
        (0, {S.SUCCESS: 1}, Event.SKIP),
        (11, {S.SUCCESS: 1}, Event.UNMAPPABLE),
        (None, {S.SUCCESS: 1}, Event.UNMAPPABLE),
        (None, {S.SKIPPED: 1}, Event.SKIP),
        (None, {S.FAILED: 1}, Event.UPSTREAM_FAIL),
        (None, {S.UPSTREAM_FAILED: 1}, Event.UPSTREAM_FAIL),
    ],
)
def test_expansion(length: int | None, upstream: Tally, event: Event | None) -> None:
    found = expansion(length, upstream, limit=10)
    assert (found.event, found.length) == (event, length if event is None else 0)
    assert found.why


def standing(**more: Any) -> Standing:
    given: dict[str, Any] = {
        "stage": ResumeFrom.LATEST,
        "stalls": 0,
        "generations": 2,
        "moved": False,
        "progress": False,
    }
    return Standing(**(given | more))


def test_progress_renews_the_budget() -> None:
    found = fall_back(task("t"), standing(stage=ResumeFrom.FRESH, stalls=2, progress=True, moved=True))
    assert (found.source, found.stage, found.stalls, found.delay) == (ResumeFrom.LATEST, ResumeFrom.LATEST, 0, 0.0)


def test_a_stall_is_counted_and_the_next_resume_waits_longer() -> None:
    delays = [fall_back(task("t", resume_limit=99), standing(stalls=stalls)).delay for stalls in (0, 1, 2, 20)]
    assert delays == [2.0, 4.0, 8.0, 60.0]


def test_stalls_fall_back_to_older_records_and_then_to_the_beginning_and_then_it_is_over() -> None:
    now, seen = standing(), []
    while True:
        found = fall_back(task("t", resume_limit=2), now)
        seen.append((found.source, found.stalls))
        if found.spent:
            break
        now = standing(stage=found.stage, stalls=found.stalls)
    latest, previous, fresh = ResumeFrom
    assert seen == [(latest, 1), (previous, 0), (previous, 1), (fresh, 0), (fresh, 1), (fresh, 2)]
    assert found.delay is None


def test_who_had_no_time_to_save_counts_and_does_not_tip_the_balance_for_long() -> None:
    one = task("t", resume_limit=2)
    assert fall_back(one, standing(stalls=1, brief=True)).source is ResumeFrom.LATEST
    assert fall_back(one, standing(stalls=6, brief=True)).stalls == 7
    assert fall_back(one, standing(stalls=7, brief=True)).source is ResumeFrom.PREVIOUS
    assert fall_back(one, standing(stalls=6)).source is ResumeFrom.PREVIOUS


def test_without_an_older_record_the_beginning_is_next() -> None:
    assert fall_back(task("t", resume_limit=1), standing(generations=1)).source is ResumeFrom.FRESH


def test_who_wrote_a_record_since_it_fell_back_goes_on_from_that() -> None:
    found = fall_back(task("t"), standing(stage=ResumeFrom.FRESH, moved=True))
    assert (found.source, found.stage) == (ResumeFrom.LATEST, ResumeFrom.FRESH)


@pytest.mark.parametrize(
    ("best", "last", "moved", "expected"),
    [
        (None, None, True, True),
        (None, None, False, False),
        (None, 5.0, True, True),
        (5.0, None, True, True),
        (5.0, 5.0, True, False),
        (5.0, 5.1, True, True),
    ],
)
def test_progress_is_judged_by_name_or_else_by_there_being_a_record(
    best: float | None, last: float | None, *, moved: bool, expected: bool
) -> None:
    assert progressed(best, last, moved=moved) is expected


@pytest.mark.parametrize("stop", [None, *StopReason])
def test_stops_of_the_infrastructure_resume_by_themselves(stop: StopReason | None) -> None:
    found = resume(task("t"), standing(progress=True), stop)
    meant = stop in {StopReason.USER_KILL, StopReason.TIMEOUT}
    assert found.delay == (None if meant else 0.0)
    assert ("held" in found.why) is meant


def test_a_task_may_want_to_be_resumed_by_hand() -> None:
    assert resume(task("t", resume=ResumePolicy.MANUAL), standing(), StopReason.DRAIN).delay is None


def test_a_spent_budget_is_not_held_but_over() -> None:
    last = standing(stage=ResumeFrom.FRESH, stalls=2)
    assert resume(task("t", resume=ResumePolicy.MANUAL), last, None).spent


@pytest.mark.parametrize(
    ("now", "retry", "event"),
    [
        (standing(progress=True), False, Event.LOST_RESUME),
        (standing(generations=0), True, Event.LOST_RETRY),
        (standing(generations=0), False, Event.LOST_FAIL),
        (standing(stage=ResumeFrom.FRESH, stalls=2), True, Event.LOST_RETRY),
        (standing(stage=ResumeFrom.FRESH, stalls=2), False, Event.LOST_FAIL),
    ],
)
def test_a_lost_attempt_resumes_or_retries_or_fails(now: Standing, event: Event, *, retry: bool) -> None:
    found, resumed = lost(task("t"), now, retry=retry)
    assert found is event
    assert (resumed is not None) == (event is Event.LOST_RESUME)


@pytest.mark.parametrize(("number", "most", "expected"), [(1, 0, False), (1, 1, True), (2, 1, False), (2, 2, True)])
def test_retries_are_counted_as_airflow_counts_them(number: int, most: int, *, expected: bool) -> None:
    assert may_retry(number, most) is expected


def test_a_retry_may_bring_its_own_delay() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_at(task("t", retry_delay_s=7), now, None) == now + timedelta(seconds=7)
    assert retry_at(task("t", retry_delay_s=7), now, 0.5) == now + timedelta(seconds=0.5)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (None, "code=a", None),
        ("code=a", None, None),
        ("code=a inputs=b", "code=a inputs=b", None),
        ("code=a inputs=b", "code=c inputs=b", "the code changed"),
        ("code=a schema=b", "code=c schema=d", "the code and the schema of its checkpoints changed"),
        ("v1", "v2", "the fingerprint changed"),
    ],
)
def test_what_changed_is_named(before: str | None, now: str | None, said: str | None) -> None:
    assert changed(before, now) == said


def test_what_is_held_for_a_change_is_no_stall() -> None:
    found = hold(standing(stalls=2), ResumeFrom.PREVIOUS, "the code changed")
    assert (found.source, found.stalls, found.delay) == (ResumeFrom.PREVIOUS, 2, None)
    assert found.why == "held: the code changed"
