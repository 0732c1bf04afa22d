# ruff: noqa: PLW0108, ARG001 - a lambda here is the body of a flow, and a parameter of a task is what the test is about
"""Flows as authors write them: files that are loaded, graphs that come out, and what is said when one cannot."""

import textwrap
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from protocol.flows import FlowGraph, TaskSpec
from protocol.messages.startup import LiteralArgBinding, MappedArgBinding, XComArgBinding
from runner import flow, shell, task
from runner.authoring import find_task, load, takes_context
from runner.graphing import MAPPED, AuthoringError

PIPELINE = """
from runner import flow, shell, task

@task(retries=2)
def extract(n: int = 3) -> list[int]:
    return list(range(n))

@task(resume="manual", timeout=30)
def train(row: int, ctx, rate: float = 0.5) -> float:
    return row * rate

@task
def total(values):
    return sum(values)

@flow(fail_fast=True)
def pipeline(n: int = 3):
    "Adds up."
    rows = extract(n)
    trained = train.partial(rate=2).map(rows)
    total(trained) >> shell("report", "echo $TASKHAND_ARG_ROWS", args={"rows": rows}, queue="sh")
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def writes(source: str, name: str = "flows.py", folder: str = "here") -> Path:
        file = tmp_path / folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(source))
        return file

    return writes


def specs(graph: FlowGraph) -> dict[str, TaskSpec]:
    return {spec.task_id: spec for spec in graph.tasks}


def test_a_file_becomes_a_graph(write: Callable[..., Path]) -> None:
    file = write(PIPELINE)
    graph = load(f"{file}:pipeline").graph(n=5)
    by_name = specs(graph)
    assert (graph.dag_id, graph.dag_rel_path, graph.fail_fast) == ("pipeline", str(file).lstrip("/"), True)
    assert graph.description == "Adds up."
    assert list(by_name) == ["extract", "train", "total", "report"]
    assert by_name["extract"].args == [LiteralArgBinding("n", value=5)]
    assert by_name["extract"].retries == 2
    assert by_name["train"].args == [LiteralArgBinding("rate", value=2), MappedArgBinding("row", "extract")]
    assert (by_name["train"].map_over, by_name["train"].timeout_s, by_name["train"].resume) == ("extract", 30, "manual")
    assert by_name["total"].args == [XComArgBinding("values", "train", MAPPED)]
    assert by_name["report"].upstreams == ["extract", "total"]
    assert (by_name["report"].runtime, by_name["report"].queue) == ("plain", "sh")


def test_a_flow_can_be_left_out_where_there_is_one(write: Callable[..., Path]) -> None:
    assert load(str(write(PIPELINE))).name == "pipeline"


def test_outside_of_a_flow_tasks_are_functions(write: Callable[..., Path]) -> None:
    found = load(str(write(PIPELINE.replace("ctx, ", "").replace(" >> shell", "  # >> shell"))))
    assert found() is None
    extract = task(lambda n: list(range(n)))
    double = task(lambda item, by: item * by)
    assert extract(3) == [0, 1, 2]
    assert double.partial(by=2).map([1, 2]) == double.partial(by=2).map(item=[1, 2]) == [2, 4]


def test_two_files_of_one_name_do_not_clash(write: Callable[..., Path]) -> None:
    one = write("from runner import flow, task\n@task\ndef a(): ...\n@flow\ndef f(): a()", folder="one")
    other = write("from runner import flow, task\n@task\ndef b(): ...\n@flow\ndef f(): b()", folder="other")
    assert [spec.task_id for file in (one, other) for spec in load(str(file)).graph().tasks] == ["a", "b"]


def test_a_file_may_import_its_neighbour(write: Callable[..., Path]) -> None:
    write("COUNT = 7", name="a_neighbour_of_the_flow.py")
    file = write(
        "from a_neighbour_of_the_flow import COUNT\nfrom runner import flow, task\n@task\ndef a(n): ...\n"
        "@flow\ndef f(): a(COUNT)"
    )  # fmt: skip - two lines of a file
    assert specs(load(str(file)).graph())["a"].args == [LiteralArgBinding("n", value=7)]


@task
def one() -> int:
    return 1


@task
def two(x: int, ctx: object = None) -> int:
    return x


def graph_of(draw: Callable[[], Any]) -> dict[str, TaskSpec]:
    return specs(flow(draw).graph())


def test_a_task_that_is_called_again_gets_a_number() -> None:
    def drawn() -> None:
        two(one())
        two(two(one()))

    assert list(graph_of(drawn)) == ["one", "two", "one__1", "two__1", "two__2"]


def test_order_without_values() -> None:
    def drawn() -> None:
        a, b, c, d = (one.with_options(name=name)() for name in "abcd")
        a >> [b, c] >> d
        d.after(a)

    assert {name: spec.upstreams for name, spec in graph_of(drawn).items()} == {
        "a": [],
        "b": ["a"],
        "c": ["a"],
        "d": ["b", "c", "a"],
    }  # fmt: skip - a table


def test_spans_are_seconds_or_timedeltas() -> None:
    spans = {"retry_delay": timedelta(minutes=2), "timeout": 1.5, "grace": 3, "outage_after": timedelta(hours=1)}
    drawn = graph_of(lambda: one.with_options(**spans)())["one"]
    assert (drawn.retry_delay_s, drawn.timeout_s, drawn.grace_s, drawn.outage_after_s) == (120, 1.5, 3, 3600)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: two(), "missing a required argument: 'x'"),
        (lambda: two(one(), 3), "too many positional arguments"),
        (lambda: two(1, ctx=2), "passed by the runner, never by a call"),
        (lambda: two([one()]), "inside of another value; pass it as an argument of its own"),
        (lambda: two(object()), "'x' is written into the flow as JSON, and that cannot be: object has no form in JSON"),
        (lambda: two.map([1, 2]), "takes the result of one task"),
        (lambda: two.map(one(), 1), "too many positional arguments"),
        (lambda: list(one()), ".map() runs a task for each"),
        (lambda: two(1) if one() else two(2), "decide inside of a task"),
        (lambda: one().after(3), "order is between results of tasks, and 3 is none"),
        (lambda: one.with_options(name="a\nb")(), "task 'a\\nb': "),
        (lambda: one.with_options(retries=-1)(), "task 'one': Expected `int` >= 0"),
        (
            lambda: one.with_options(colour="red")(),
            "a task has no option 'colour'; it has checkpoint_schema, command, grace",
        ),
        (lambda: flow(lambda: one())(), "is called inside of flow"),
        (lambda: None, "it has no tasks"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: task(lambda *items: items)(1), "takes *args; a task's arguments need names"),
        (lambda: [one() >> (two(1)), two(2) >> one()][0] >> 5, "and 5 is none"),
    ],
)
def test_what_cannot_be_drawn_says_where_and_what_to_do(draw: Callable[[], Any], said: str) -> None:
    with pytest.raises(AuthoringError) as raised:
        flow(draw).graph()
    assert said in str(raised.value)
    assert raised.value.place.startswith(f"{Path(__file__).resolve()}:")
    assert raised.value.place.rpartition(":")[2].isdecimal()


def test_a_cycle_is_named() -> None:
    def drawn() -> None:
        a, b = one(), one()
        a >> b >> a

    with pytest.raises(AuthoringError, match="wait for each other"):
        flow(drawn).graph()


def test_a_result_of_another_flow_is_refused() -> None:
    kept = []
    flow(lambda: kept.append(one())).graph()
    with pytest.raises(AuthoringError, match="belongs to another flow"):
        flow(lambda: two(kept[0])).graph()


def test_options_are_known() -> None:
    with pytest.raises(AuthoringError, match="a task has no option 'retry'"):
        task(retry=1)
    with pytest.raises(AuthoringError, match="a flow has no option 'cron'"):
        flow(cron="* * * * *")
    with pytest.raises(AuthoringError, match="call it inside of a flow"):
        shell("a", "true")


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("x = 1", "", r"flows.py: say which flow, as FILE:FLOW; it has none: decorate a function with @flow"),
        ("x = (", "", r"flows.py:1: SyntaxError: "),
        ("x = 1\n\ny = x / 0", "", r"flows.py:3: ZeroDivisionError"),
        ("import nothing_of_this_name", "", r"flows.py:1: ModuleNotFoundError"),
        ("from runner import flow\n@flow\ndef a(): ...\n@flow\ndef b(): ...", "", r"say which flow.*it has a, b"),
        ("from runner import flow\n@flow\ndef a(): ...", "c", r"there is no flow 'c'; it has a"),
        (
            "from runner import task\n@task(retries='many')\ndef a(): ...",
            "",
            r"flows.py:2: task 'task': Expected `int`",
        ),
    ],
)
def test_a_file_that_cannot_be_loaded_says_why(write: Callable[..., Path], source: str, target: str, said: str) -> None:
    with pytest.raises(AuthoringError, match=said):
        load(f"{write(source)}:{target}")


@pytest.mark.parametrize(("name", "said"), [("absent.py", "no such file"), ("flows.txt", "whose name ends in .py")])
def test_what_is_no_flow_file(write: Callable[..., Path], name: str, said: str) -> None:
    folder = write("", name="flows.txt").parent
    with pytest.raises(AuthoringError, match=said):
        load(f"{folder / name}:f")


def test_a_file_that_failed_can_be_mended(write: Callable[..., Path]) -> None:
    with pytest.raises(AuthoringError):
        load(str(write("1 / 0")))
    assert load(str(write(PIPELINE))).name == "pipeline"


def test_the_runner_finds_functions(write: Callable[..., Path]) -> None:
    file = write(PIPELINE + "    train.with_options(name='other')(rows)\n")
    for name in ("extract", "extract__3"):
        assert find_task(file, "pipeline", name)(2) == [0, 1]
    assert find_task(str(file), "pipeline", "other").__name__ == "train"
    assert takes_context(find_task(file, "pipeline", "train"))
    assert not takes_context(find_task(file, "pipeline", "total"))


@pytest.mark.parametrize(
    ("flow", "task_id", "said"),
    [("gone", "x", "no flow 'gone' any more"), ("pipeline", "x", "no function"), ("pipeline", "report", "no function")],
)
def test_a_task_that_is_not_there(write: Callable[..., Path], flow: str, task_id: str, said: str) -> None:
    with pytest.raises(AuthoringError, match=said):
        find_task(write(PIPELINE), flow, task_id)
