"""What every store must do, whatever it keeps things in: one exercise, called once for each driver.

A scenario is an async function over a `Story`: a store with a clock that only the scenario moves. A driver's own test
file gives `exercise_store` what makes its stores, and has no scenarios of its own but for what only it has.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from server.sql.part import Limits
from server.store import Store
from tests.server.exercise import attempts, claims, engine, looking, outcomes, people, resuming, triggers, values
from tests.server.exercise.story import Story

Make = Callable[[Path, Limits], AbstractAsyncContextManager[Store]]
Scenario = Callable[[Story], Coroutine[Any, Any, None]]

TOPICS = (claims, attempts, outcomes, engine, resuming, people, triggers, values, looking)
LIMITS = Limits(inline_checkpoint=1000, inline_value=5000, mapped=50)


def scenarios() -> list[Any]:
    """Give all scenarios, each named by its topic and its sentence."""
    return [
        pytest.param(function, id=f"{topic.__name__.rpartition('.')[2]}:{name}")
        for topic in TOPICS
        for name, function in vars(topic).items()
        if asyncio.iscoroutinefunction(function) and function.__module__ == topic.__name__ and name[0] != "_"
    ]


def exercise_store(make: Make) -> Callable[[Scenario, Path], None]:
    """Give the test that puts a driver's stores through every scenario."""

    @pytest.mark.parametrize("scenario", scenarios())
    def test(scenario: Scenario, tmp_path: Path) -> None:
        async def play() -> None:
            async with make(tmp_path, LIMITS) as store:
                await scenario(Story(store))

        asyncio.run(play())

    return test
