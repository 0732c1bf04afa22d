"""The judge of graphs: what it lets through, and what it says of the rest."""

import itertools
from time import process_time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.flows import FlowError, FlowGraph, TaskSpec, check, downstreams, problems
from protocol.messages.startup import LiteralArgBinding, MappedArgBinding, XComArgBinding


def flow(*tasks: TaskSpec) -> FlowGraph:
    return FlowGraph(dag_id="f", tasks=list(tasks))


def task(name: str, *upstreams: str, **more: object) -> TaskSpec:
    return msgspec.convert({"task_id": name, "upstreams": upstreams} | more, TaskSpec)


def test_a_sound_graph_has_no_problems() -> None:
    graph = flow(
        task("a"),
        msgspec.structs.replace(task("b", "a"), args=[XComArgBinding("rows", "a"), LiteralArgBinding("n", value=3)]),
        msgspec.structs.replace(task("c", "a"), map_over="a", args=[MappedArgBinding("row", "a")]),
        task("d", "b", "c", trigger_rule="all_done"),
    )
    check(graph)
    assert downstreams(graph) == {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (flow(), "it has no tasks"),
        (flow(task("a"), task("a")), "two tasks are called 'a'"),
        (flow(task("a", "ghost")), "task 'a' comes after 'ghost', which is not a task of this flow"),
        (flow(task("a", "a")), "these tasks wait for each other: a → a"),
        (flow(task("z"), task("a", "c", "z"), task("b", "a"), task("c", "b")), "these tasks wait for each other: "),
        (
            flow(task("a"), task("b", args=[{"kind": "xcom", "name": "x", "task_id": "a"}])),
            "task 'b' takes 'x' from 'a' and does not come after it",
        ),
        (
            flow(task("a", args=[{"kind": "literal", "name": "x"}, {"kind": "literal", "name": "x"}])),
            "task 'a' is given the argument 'x' twice",
        ),
        (
            flow(task("a", outage="keep", outage_after_s=5)),
            "task 'a' is to keep on in an outage, and to stop after 5 s",
        ),
        (flow(task("a"), task("b", map_over="a")), "task 'b' is mapped over 'a' and does not come after it"),
        (
            flow(task("a"), task("b", "a", args=[{"kind": "mapped", "name": "x", "task_id": "a"}])),
            "task 'b' takes an item of 'a', and is mapped over None",
        ),
    ],
)
def test_a_problem_is_said_in_a_sentence(graph: FlowGraph, said: str) -> None:
    assert any(problem.startswith(said) for problem in problems(graph))
    with pytest.raises(FlowError, match="flow 'f': ") as raised:
        check(graph)
    assert raised.value.problems == list(problems(graph))


def test_a_cycle_is_told_in_the_order_in_which_its_tasks_would_run() -> None:
    graph = flow(task("z"), task("a", "c", "z"), task("b", "a"), task("c", "b"))
    said = next(iter(problems(graph))).partition(": ")[2].split(" → ")
    assert said[0] == said[-1]
    assert {("a", "b"), ("b", "c"), ("c", "a")} == set(itertools.pairwise(said))


@pytest.mark.parametrize("last", [[], ["t19999"]], ids=["sound", "cycle"])
def test_a_graph_of_many_tasks_is_judged_in_a_moment(last: list[str]) -> None:
    names = [f"t{number}" for number in range(20_000)]
    chain = [task("t0", *last), *(task(name, before) for before, name in itertools.pairwise(names))]
    everything = msgspec.structs.replace(task("end", *names), args=[XComArgBinding(name, name) for name in names])
    began = process_time()
    assert len(list(problems(flow(*chain, everything)))) == len(last)
    assert process_time() - began < 5, "each task is compared with each"


def test_a_task_behind_a_cycle_is_not_blamed() -> None:
    graph = flow(task("behind", "a"), task("a", "b"), task("b", "a"))
    assert "behind" not in next(iter(problems(graph)))


@given(st.dictionaries(st.integers(0, 9), st.sets(st.integers(0, 9)), max_size=10))
def test_a_graph_whose_tasks_come_after_smaller_ones_never_has_a_cycle(arrows: dict[int, set[int]]) -> None:
    tasks = [task(str(n), *(str(m) for m in arrows[n] if m < n and m in arrows)) for n in arrows]
    assert [said for said in problems(flow(*tasks)) if "wait for each other" in said] == []


@pytest.mark.parametrize(
    "spec",
    [
        {"task_id": ""},
        {"task_id": "a\nb"},
        {"task_id": "a" * 251},
        {"task_id": "a", "retries": -1},
        {"task_id": "a", "timeout_s": 0},
        {"task_id": "a", "retry_delay_s": float("inf")},
        {"task_id": "a", "slots": 0},
        {"task_id": "a", "trigger_rule": "sometimes"},
        {"task_id": "a", "code": "print(1)"},
    ],
)
def test_a_spec_out_of_bounds_is_not_decoded(spec: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(spec, TaskSpec)


def test_a_graph_survives_json() -> None:
    graph = flow(task("a"), task("b", "a", command=["sh", "-c", "true"], runtime="plain", timeout_s=1.5))
    assert msgspec.json.decode(msgspec.json.encode(graph), type=FlowGraph) == graph
