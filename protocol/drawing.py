"""Draws the tables of `protocol.states` for people: `docs/states.md` is this module's output."""

from collections.abc import Iterable

from protocol.states import FINISHED, FOLLOWS, RUNNER_END, SUPERVISOR_END, Table, Talk, TaskInstanceState, Turn, Verdict

_HEAD = """# States

Drawn from `protocol/states.py`; `make fix` draws it again.

## A task instance

What may follow what on its own. A person's clear or mark may move an instance from anywhere to anywhere. The states in
bold are finished: trigger rules downstream wait for all others. `checkpointed` is Taskhand's own: it is unfinished, it
is resumed without spending a retry, and neither failure nor retry callbacks run.
"""

_CONVERSATION = """
## A conversation

Where one end is, and what each turn means there: a state to move to (or to stay in), *our fault* (we may not do that:
it raises), *their fault* (the peer may not do that: the conversation breaks), or *ignore*.
"""


def draw() -> str:
    """Give the page."""
    return "".join(
        [
            _HEAD,
            "\n",
            _lines(_rows(["state", "may be followed by"], map(_following, TaskInstanceState))),
            "\n```mermaid\nstateDiagram-v2\n",
            _lines(f"    {state} --> {each}" for state in TaskInstanceState for each in _in_order(FOLLOWS[state])),
            "```\n",
            _CONVERSATION,
            *(_end("supervisor", SUPERVISOR_END), _end("runner", RUNNER_END)),
        ]
    )


def _following(state: TaskInstanceState) -> list[str]:
    following = ", ".join(f"`{each}`" for each in _in_order(FOLLOWS[state]))
    return [f"**`{state}`**" if state in FINISHED else f"`{state}`", following or "nothing"]


def _in_order(states: frozenset[TaskInstanceState]) -> list[TaskInstanceState]:
    return [state for state in TaskInstanceState if state in states]


def _end(name: str, table: Table) -> str:
    rows = ([f"`{talk}`", *(_cell(table[talk][turn]) for turn in Turn)] for talk in Talk)
    return f"\n### The {name}'s end\n\n" + _lines(_rows(["state", *(str(turn) for turn in Turn)], rows))


def _cell(cell: Talk | Verdict) -> str:
    return f"`{cell}`" if isinstance(cell, Talk) else f"*{cell}*"


def _rows(head: list[str], rows: Iterable[list[str]]) -> Iterable[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
