"""SIGTERM at random moments of tasks that are busy with what an interruption could tear."""

import random
from pathlib import Path

import pytest

from runner.outcomes import Exit
from tests.runner.children import Flows
from tests.runner.stops import SAVES, checkpointed, stopping
from tests.runner.test_child import task


@pytest.fixture
def flows(tmp_path: Path) -> Flows:
    return Flows(tmp_path)


BUSY = {
    "asks": "while True:\n    for n in range(50): assert ctx.variables.get(f'k{n}') == f'k{n}'",
    "logs": "while True: ctx.log.info('x' * 5000, n=1)",
    "prints": "while True: print('x' * 50)",
    "saves": SAVES,
    "threads": (
        "def ask():\n    while True: assert ctx.variables.get('a') == 'a'\n"
        "for _ in range(3): threading.Thread(target=ask, daemon=True).start()\n"
        "while True: assert ctx.variables.get('b') == 'b'"
    ),
    "async": (
        "async def ask():\n    while True: await aask(GetVariable('a'))\n"
        "await asyncio.gather(*(ask() for _ in range(5)))"
    ),
    "imports": "import importlib, json\nwhile True: importlib.reload(json)",
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("what", BUSY)
def test_a_stop_at_a_random_moment_of_a_busy_task_ends_it_and_its_channel_stays_right(
    flows: Flows, what: str, seed: int
) -> None:
    chance = random.Random(seed * 100 + len(what))  # noqa: S311 - no secret
    answer, kind = stopping(), "async def" if what == "async" else "def"
    after = chance.randrange(5, 400) if what not in {"logs", "prints", "imports"} else 0
    source = task("print('ready')\n" + BUSY[what], kind=kind) + "from protocol.messages.variables import GetVariable\n"
    with flows.started(source) as one:
        one.printed(b"ready")
        if after:
            one.run(answer, until=lambda _: len(one.asked) == after)
        one.terminate()
        if after:
            one.reply(one.last, answer(one.asked[-1]))
        code = one.run(answer)
        assert one.fault is None
        if what == "saves":
            assert code == Exit.TOLD
            checkpointed(one)
        else:
            assert (code, one.terminal) == (Exit.INTERRUPTED, [])
        assert [entry for entry in one.logs if entry["level"] == "error"] == []
