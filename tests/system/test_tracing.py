"""Whose span each call to the API belongs to."""

from pathlib import Path

import pytest

from tests.system.world import play, stage

pytestmark = pytest.mark.slow

OURS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
THEIRS = "00-11111111111111111111111111111111-2222222222222222-01"


def test_a_call_is_in_the_trace_of_its_question_or_of_its_attempt(tmp_path: Path) -> None:
    async def scenario() -> list[tuple[str, str | None]]:
        async with stage(tmp_path) as found:
            found.api.variables["k"] = "v"
            workload = found.workload("traced", carrier={"traceparent": OURS})
            await found.attempt(workload).run()
            return [(call.segments[-1], call.headers.get("traceparent")) for call in found.api.calls]

    calls = [call for call in play(scenario()) if call[0] != "heartbeat"]
    assert calls == [("run", OURS), ("k", OURS), ("k", THEIRS), ("state", OURS)]
