import json

import pytest

from protocol.messages.variables import GetVariable
from supervisor.outcome import CODES, Exit
from supervisor.runtimes import BUILT_IN, TABLE, Runtime, RuntimeKind, Task, UnfitError, environment, plan

TASK = Task("id-1", "flow", "run", "task", 2, -1, file="/flows/task.sh", arguments={"rows": [1], "a-b c": None})


def test_the_table_has_a_row_for_each_kind() -> None:
    assert set(TABLE) == set(RuntimeKind)
    assert set(BUILT_IN) == {kind.value for kind in RuntimeKind}


def test_python_is_forked_and_always_says_how_it_ended() -> None:
    found = plan(BUILT_IN["python"], TASK, ("ignored",))
    assert (found.forks, found.frames, found.argv, dict(found.env)) == (True, True, (), {})
    assert (found.contract.zero_is_success, dict(found.contract.codes), found.stops_group) == (False, {}, False)
    assert found.allowed is None


def test_a_command_speaks_frames_and_may_end_in_silence() -> None:
    found = plan(Runtime(RuntimeKind.COMMAND, ("node", "runner.js"), env={"A": "b"}, cwd="/srv"), TASK)
    assert (found.forks, found.frames, found.argv, found.cwd) == (False, True, ("node", "runner.js"), "/srv")
    assert dict(found.env) == {"A": "b"}
    assert (found.contract.zero_is_success, found.contract.codes, found.stops_group) == (True, CODES, False)


def test_a_plain_program_knows_its_task_from_its_environment() -> None:
    found = plan(BUILT_IN["plain"], TASK)
    assert (found.forks, found.frames, found.argv, found.stops_group) == (False, False, ("/flows/task.sh",), True)
    assert found.env["TASKHAND_TASK_ID"] == "task"


def test_the_workload_s_command_comes_before_the_runtime_s_before_the_file() -> None:
    runtime = Runtime(RuntimeKind.PLAIN, ("theirs",))
    assert plan(runtime, TASK, ("ours", "x")).argv == ("ours", "x")
    assert plan(runtime, TASK).argv == ("theirs",)
    assert plan(runtime, TASK, ()).argv == ("theirs",)


@pytest.mark.parametrize(
    ("kind", "task"), [(RuntimeKind.COMMAND, TASK), (RuntimeKind.PLAIN, Task("i", "f", "r", "t", 1, -1))]
)
def test_what_there_is_nothing_to_execute_for_is_unfit(kind: RuntimeKind, task: Task) -> None:
    with pytest.raises(UnfitError, match="needs a command"):
        plan(Runtime(kind), task)


def test_settings_change_what_a_row_says() -> None:
    changed = Runtime(
        RuntimeKind.PLAIN,
        zero_is_success=False,
        codes={3: Exit.SKIP_CODE},
        stops_group=False,
        messages=frozenset({"GetVariable"}),
    )
    found = plan(changed, TASK)
    assert (found.contract.zero_is_success, found.contract.codes) == (False, {3: Exit.SKIP_CODE})
    assert (found.stops_group, found.allowed) == (False, frozenset({GetVariable}))


def test_a_message_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnfitError, match="no such message: Bark, Meow"):
        plan(Runtime(RuntimeKind.PLAIN, messages=frozenset({"Meow", "Bark", "GetVariable"})), TASK)


def test_the_environment_says_who_the_task_is_and_what_it_was_given() -> None:
    told = environment(Task("id", "f", "r", "t", 3, 4, checkpoint_dir="/c", arguments={"x y": {"ü": "\0"}}))
    assert told == {
        "TASKHAND_TI_ID": "id", "TASKHAND_FLOW": "f", "TASKHAND_RUN_ID": "r", "TASKHAND_TASK_ID": "t",
        "TASKHAND_TRY": "3", "TASKHAND_MAP_INDEX": "4", "TASKHAND_CHECKPOINT_DIR": "/c",
        "TASKHAND_ARG_X_Y": json.dumps({"ü": "\0"}, ensure_ascii=False, separators=(",", ":")),
    }  # fmt: skip
    assert "TASKHAND_CHECKPOINT_DIR" not in environment(TASK)
    assert environment(TASK)["TASKHAND_ARG_A_B_C"] == "null"
