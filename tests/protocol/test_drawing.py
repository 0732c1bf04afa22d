from protocol.drawing import draw
from protocol.states import FOLLOWS, RUNNER_END, SUPERVISOR_END, TaskInstanceState

PAGE = draw()


def test_every_move_is_an_arrow() -> None:
    assert PAGE.count(" --> ") == sum(len(following) for following in FOLLOWS.values())
    assert "running --> checkpointed" in PAGE


def test_every_state_has_its_row_and_the_finished_ones_are_bold() -> None:
    assert all(f"`{state}`" in PAGE for state in TaskInstanceState)
    assert "| **`success`** | nothing |" in PAGE
    assert "| `checkpointed` | " in PAGE


def test_every_cell_of_both_ends_is_there() -> None:
    for name, table in (("supervisor", SUPERVISOR_END), ("runner", RUNNER_END)):
        section = PAGE.partition(f"### The {name}'s end")[2].partition("###")[0]
        for talk, row in table.items():
            (line,) = [line for line in section.splitlines() if line.startswith(f"| `{talk}` ")]
            assert [cell.strip(" `*") for cell in line.strip("|").split("|")][1:] == [
                str(cell) for cell in row.values()
            ]
