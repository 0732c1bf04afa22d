import asyncio
from datetime import UTC, datetime
from pathlib import Path

from bench.minimal_api import Answer, MinimalApi
from supervisor.rhythm import Times
from supervisor.watching import noticed, pressed, remember, remembered

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


def soon() -> datetime:
    return MOMENT


def test_pressure_above_the_limit_has_one_yield(tmp_path: Path) -> None:
    async def story() -> int:
        file, asked = tmp_path / "memory.pressure", asyncio.Event()
        file.write_text("full avg10=50.00 avg60=0.00 avg300=0.00 total=1\n")
        count = []

        def yield_one() -> bool:
            count.append(1)
            asked.set()
            return True

        watching = asyncio.ensure_future(pressed(40.0, yield_one, str(file)))
        async with asyncio.timeout(10):
            await asked.wait()
        watching.cancel()
        await pressed(0.0, yield_one, str(file))
        return len(count)

    assert asyncio.run(story()) == 1


def test_a_notice_is_a_file_an_address_or_a_function(tmp_path: Path) -> None:
    async def story() -> None:
        file = tmp_path / "notice"
        waiting = asyncio.ensure_future(noticed(str(file), 0.01, 30.0))
        await asyncio.sleep(0)
        file.write_text(MOMENT.isoformat())
        async with asyncio.timeout(10):
            assert await waiting == MOMENT
            assert await noticed(f"{__name__}:soon", 0.01, 30.0) == MOMENT
            api = MinimalApi()
            url = await api.start()
            api.faults.append(lambda _: Answer(200, {"time": MOMENT.isoformat()}))
            assert await noticed(f"{url}/spot", 0.01, 30.0) == MOMENT
            await api.stop()
        for nothing in ("no.module:name", str(tmp_path)):
            silent = asyncio.ensure_future(noticed(nothing, 0.001, 30.0))
            await asyncio.wait({silent}, timeout=0.05)
            assert not silent.done()
            silent.cancel()

    asyncio.run(story())


def test_what_was_learned_is_remembered_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "times.json"
    assert remembered(file).known == {}
    remember(file, Times({"d/t": 2.0}))
    assert remembered(file).known == {"d/t": 2.0}
    file.write_text("[]")
    assert remembered(file).known == {}
