"""One exercise for every source."""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.minimal_api import MinimalApi
from protocol.http.workloads import ClaimRequest, ExecuteTask
from supervisor.opening import client_of
from supervisor.sections import ApiSettings
from supervisor.sources import BadWorkload, ClaimSource, ListSource, Source, StdinSource, read
from tests.system.world import play

TI = {"task_id": "t", "dag_id": "d", "run_id": "r", "try_number": 1, "pool_slots": 1, "priority_weight": 1}


def envelope(number: int) -> dict[str, Any]:
    ids = {"id": f"00000000-0000-0000-0000-{number:012}", "dag_version_id": f"00000000-0000-0000-0000-{number:012}"}
    return {
        "token": "w",
        "dag_rel_path": "a.py",
        "bundle_info": {"name": "local"},
        "ti": TI | ids,
        "type": "ExecuteTask",
    }


async def exercise_source(source: Source, count: int, *, ends: bool) -> None:
    """Everything comes, in order, never more than there are slots for; then it ends, or waits and can be cancelled."""
    found: list[ExecuteTask] = []
    while len(found) < count:
        given = await source.take(2)
        assert given is not None
        assert len(given) <= 2
        found += given
    assert [workload.ti.id.int for workload in found] == [int(str(number), 16) for number in range(1, count + 1)]
    if ends:
        while (given := await source.take(2)) is not None:
            assert given == []
    else:
        waiting = asyncio.ensure_future(source.take(2))
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
    await source.close()
    await source.close()


async def from_list(count: int, use: Callable[[Source], Awaitable[None]]) -> None:
    await use(ListSource([read(msgspec.json.encode(envelope(n))) for n in range(1, count + 1)]))


def lines(count: int) -> bytes:
    return b"".join(msgspec.json.encode(envelope(n)) + b"\n\n" for n in range(1, count + 1))


async def from_file(count: int, use: Callable[[Source], Awaitable[None]]) -> None:
    """As in `worker run --source stdin <FILE`, which ended by SIGABRT."""
    with tempfile.TemporaryFile() as stream:
        stream.write(lines(count))
        stream.seek(0)
        await use(StdinSource(stream))


async def from_stdin(count: int, use: Callable[[Source], Awaitable[None]]) -> None:
    reading, writing = os.pipe()
    os.write(writing, lines(count))
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as stream:
        await use(StdinSource(stream))


async def from_claims(count: int, use: Callable[[Source], Awaitable[None]]) -> None:
    api = MinimalApi()
    client = client_of(ApiSettings(url=await api.start()))
    api.queue(*(envelope(n) for n in range(1, count + 1)))
    await use(ClaimSource(client, "token", ClaimRequest(worker="w", queues=["default"], slots=1, wait_s=5.0)))
    assert api.calls[0].headers["authorization"] == "Bearer token"
    assert api.calls[0].body["slots"] == 2
    await client.close()
    await api.stop()


@pytest.mark.parametrize(
    ("driver", "ends"), [(from_list, True), (from_file, True), (from_stdin, True), (from_claims, False)]
)
def test_a_source(driver: Callable[..., Any], ends: bool) -> None:  # noqa: FBT001 - a column of the table above
    play(driver(5, lambda source: exercise_source(source, 5, ends=ends)))


def test_a_line_that_is_no_workload_is_passed_over(tmp_path: Path) -> None:
    complaints: list[str] = []
    file = tmp_path / "pipe"
    os.mkfifo(file)

    async def scenario() -> list[ExecuteTask]:
        reading = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        writing = os.open(file, os.O_WRONLY)
        os.write(writing, b'{"no": "workload"}\nnot json\n' + msgspec.json.encode(envelope(1)) + b"\n")
        os.close(writing)
        with os.fdopen(reading, "rb", buffering=0) as stream:
            source = StdinSource(stream, complaints.append)
            found = [await source.take(1) for _ in range(4)]
            await source.close()
        assert found[0] == found[1] == []
        assert found[3] is None
        return found[2] or []

    assert len(play(scenario())) == 1
    assert len(complaints) == 2


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"token": 1}'])
def test_what_is_no_workload_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(BadWorkload):
        read(data)


def test_a_closed_claim_claims_no_more() -> None:
    async def scenario() -> list[ExecuteTask] | None:
        source = ClaimSource(client_of(ApiSettings()), "t", ClaimRequest(worker="w", queues=["q"], slots=1))
        await source.close()
        return await source.take(1)

    assert play(scenario()) is None
