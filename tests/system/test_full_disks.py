"""A disk that is full: what is lost is counted and said where people look, and no outcome is among it."""

import asyncio
from pathlib import Path

import pytest

from supervisor.records import Record
from tests.system.disks import fill, mounts, small_disk
from tests.system.world import play, stage

pytestmark = [pytest.mark.slow, mounts]

PRINTS = "yes 'a line that finds no room' | head -n 3000; exit {code}"


def test_attempts_whose_logs_find_no_room_are_told_right_and_their_timeline_says_what_is_missing(
    tmp_path: Path,
) -> None:
    async def scenario(disk: Path) -> tuple[list[tuple[Record, list[str], list[str]]], list[str]]:
        async with stage(tmp_path, {"worker.log_dir": str(disk)}) as found:
            works = [
                found.workload("say.success"),
                found.workload("silent.exit5"),
                *(found.workload("t", "plain", command=["sh", "-c", PRINTS.format(code=code)]) for code in (0, 3)),
            ]
            fill(disk)
            records = await asyncio.gather(*(found.attempt(each).run() for each in works))
            remarks = [found.api.remarks.get(str(record.ti_id), []) for record in records]
            return [(record, found.told(record), said) for record, said in zip(records, remarks, strict=True)], (
                found.warnings
            )

    with small_disk(tmp_path / "disk", "64k") as disk:
        results, warnings = play(scenario(disk))
    assert [told for _, told, _ in results] == [["success"], ["failed"], ["success"], ["failed"]]
    assert all(record.reported for record, _, _ in results)
    for record, _, remarks in results[2:]:
        (said,) = remarks
        assert said.startswith("its log is not whole: 300")  # the lines it printed, and ours
        assert said.endswith("lines could not be written: No space left on device")
        assert record.log_bytes == 3000 * 26
    assert any("cannot be written: No space left on device" in warning for warning in warnings)
