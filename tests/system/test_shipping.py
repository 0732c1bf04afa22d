"""An attempt's log reaches a server of ours: whole, once, and while it runs."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.minimal_api import Answer, refusal
from supervisor.shipping import PART
from supervisor.sources import ListSource
from supervisor.worker import Worker
from tests.system.world import on, play, stage

pytestmark = pytest.mark.slow


def printing(lines: int) -> list[str]:
    return ["sh", "-c", f"yes 'a line of text to be read' | head -n {lines}"]


@pytest.mark.parametrize("lines", [3, 60_000])
def test_what_is_in_the_file_is_at_the_server(tmp_path: Path, lines: int) -> None:
    async def scenario() -> tuple[bytes, str]:
        async with stage(tmp_path) as found:
            workload = found.workload("t", "plain", command=printing(lines))
            await found.attempt(workload).run()
            return found.api.logs[str(workload.ti.id)], found.log(workload)

    sent, kept = play(scenario())
    assert sent.decode() == kept
    assert kept.count("a line of text to be read") == lines
    assert lines < 1000 or len(sent) > 2 * PART


def test_a_task_that_says_nothing_costs_no_request(tmp_path: Path) -> None:
    async def scenario() -> dict[str, bytes]:
        async with stage(tmp_path) as found:
            await found.run("say.success")
            return found.api.logs

    assert play(scenario()) == {}


@pytest.mark.parametrize(
    ("task_id", "more", "words"),
    [
        ("silent.exit0", {}, "os._exit"),
        ("silent.segv", {}, "killed by SIGSEGV (signal 11)"),
        ("limited", {}, "its time-out of 0.2 s is over; killed by SIGTERM (signal 15)"),
        ("progress", {"policy": {"progress_timeout_s": 0.2}}, "signs of progress of 0.2 s is over"),
        ("closes.hang", {}, "the time to end when there is no more to say of 0.5 s is over"),
    ],
)
def test_a_failure_without_a_word_is_explained_to_whoever_reads_it(
    tmp_path: Path, task_id: str, more: dict[str, Any], words: str
) -> None:
    async def scenario() -> tuple[bytes, dict[str, Any], str]:
        async with stage(tmp_path) as found:
            workload = found.workload(task_id, **more)
            record = await found.attempt(workload).run()
            (told,) = found.api.ends[str(workload.ti.id)]
            return found.api.logs[str(workload.ti.id)], told, record.why

    sent, told, why = play(scenario())
    assert words in why
    assert why == told["retry_reason"]
    last = msgspec.json.decode(sent.splitlines()[-1])
    assert (last["event"], last["level"], last["why"]) == ("the attempt ended", "error", why)


def test_it_is_sent_while_the_task_runs(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as found:
            workload = found.workload("t", "plain", command=["sh", "-c", "echo early; sleep 100"])
            worker = Worker(found.office, found.settings, ListSource([workload]))
            running = asyncio.ensure_future(worker.run())
            await found.asked(workload.ti.id, "log")
            assert b"early" in found.api.logs[str(workload.ti.id)]
            worker.drain()
            await running

    play(scenario())


def test_a_part_whose_answer_was_lost_is_not_there_twice(tmp_path: Path) -> None:
    async def scenario() -> tuple[bytes, str]:
        async with stage(tmp_path) as found:
            workload = found.workload("t", "plain", command=printing(3))
            found.api.faults.append(on("log", Answer(204, lost=True), workload.ti.id, times=1))
            await found.attempt(workload).run()
            return found.api.logs[str(workload.ti.id)], found.log(workload)

    sent, kept = play(scenario())
    assert sent.decode() == kept


def test_a_server_that_lost_some_says_where_to_go_on(tmp_path: Path) -> None:
    async def scenario() -> tuple[bytes, str]:
        async with stage(tmp_path) as found:
            workload = found.workload("t", "plain", command=["sh", "-c", "echo early; sleep 1; echo late"])
            attempt = found.attempt(workload)
            running = asyncio.ensure_future(attempt.run())
            while not found.api.logs:
                await asyncio.wait([running], timeout=0.05)
                await attempt.notes.ship()
            found.api.logs.clear()
            await running
            return found.api.logs[str(workload.ti.id)], found.log(workload)

    sent, kept = play(scenario())
    assert sent.decode() == kept


def test_a_log_that_nobody_takes_stays_here_and_the_outcome_counts(tmp_path: Path) -> None:
    """Whoever looks for it is told where it is, in the timeline; whoever runs the worker, that none gets through."""

    async def scenario() -> tuple[bool, str, list[str], list[str]]:
        async with stage(tmp_path) as found:
            workload = found.workload("t", "plain", command=printing(3))
            found.api.faults.append(on("log", refusal(413, "log_full"), workload.ti.id))
            record = await found.attempt(workload).run()
            await found.run("t", "plain", command=printing(3))
            return record.reported, found.log(workload), found.api.remarks[str(workload.ti.id)], found.warnings

    reported, kept, remarks, warnings = play(scenario())
    assert reported
    assert "a line of text" in kept
    (remark,) = remarks
    assert remark.startswith("its log is not at the server: 413 log_full: log full; it is here: ")
    assert remark.endswith(".jsonl")
    assert warnings == [
        "the server takes no log: 413 log_full: log full; logs stay on this machine until it takes them",
        "the server takes logs again",
    ]
