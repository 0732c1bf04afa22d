"""What a dead API is asked by many running tasks, and how soon all are heard when it is back."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.minimal_api import MinimalApi, shut
from tests.system.world import Stage, measured, play, stage

pytestmark = pytest.mark.slow

TASKS = 200
AWAY_S = 6.0


@contextlib.asynccontextmanager
async def nobody(port: int) -> AsyncIterator[Counter[str]]:
    """Count who knocks at a port whose server is away, and turn them away."""
    knocks: Counter[str] = Counter()

    def turned_away(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        knocks["knocks"] += 1
        writer.transport.abort()

    server = await asyncio.start_server(turned_away, "127.0.0.1", port)
    try:
        yield knocks
    finally:
        await shut(server)


async def away_for(found: Stage, seconds: float) -> tuple[int, int]:
    """Be away: how often it was asked in the first second, and after it."""
    api = found.api
    await api.stop()
    async with nobody(api.port) as knocks:
        await asyncio.sleep(1.0)
        first = knocks["knocks"]
        await asyncio.sleep(seconds - 1.0)
        return first, knocks["knocks"] - first


async def heard(api: MinimalApi, ids: set[str]) -> float:
    """How long it takes until each has been heard again."""
    loop = asyncio.get_running_loop()
    before, back = len(api.calls), loop.time()

    def missing(_: MinimalApi) -> bool:
        said = {call.segments[2] for call in api.calls[before:] if call.segments[1] == "task-instances"}
        return ids <= said

    await api.until(missing)
    return loop.time() - back


def test_two_hundred_tasks_ask_a_dead_api_next_to_nothing_and_are_heard_soon_when_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, int, float]:
        async with stage(tmp_path, {"limits.heartbeat_s": 2.0}) as found:
            found.api.variables["k"] = "v"
            tasks = ["reads.1000000.500" if number % 2 else "silent.hang" for number in range(TASKS)]
            workloads = [found.workload(task) for task in tasks]
            attempts = [asyncio.ensure_future(found.attempt(each).run()) for each in workloads]
            await found.api.until(lambda api: list(api.states.values()).count("running") == TASKS)
            first, later = await away_for(found, AWAY_S)
            await found.api.start()
            took = await heard(found.api, {str(each.ti.id) for each in workloads})
            assert not any(attempt.done() for attempt in attempts)
            for attempt in attempts:
                attempt.cancel()
            await asyncio.wait(attempts)
            return first, later, took

    first, later, took = play(scenario())
    a_second = later / (AWAY_S - 1.0)
    measured(f"{TASKS} tasks: {first} requests in the first second, {a_second:.1f}/s; all heard after {took:.1f} s")
    assert first < 200
    assert a_second <= 3.0
    assert took < 10.0


@pytest.mark.parametrize("turns", range(6))
def test_an_api_that_is_away_answers_nobody_whom_it_had_just_accepted(turns: int) -> None:
    """Away so many turns of the loop after somebody came: what it still answered would be taken for its return."""

    async def scenario() -> bytes:
        api, loop = MinimalApi(), asyncio.get_running_loop()
        await api.start()
        with socket.create_connection(("127.0.0.1", api.port)) as asker:
            asker.settimeout(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            await api.stop()
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(asker, b"GET /execution/health HTTP/1.1\r\n\r\n")
                return await loop.sock_recv(asker, 1000)
        return b""

    assert play(scenario(), 10.0) == b""
