"""Frames that no runner should send, one by one, each from a real child beside a healthy one.

In each: that attempt ends with a truthful kind, the other one does not notice, and the worker's memory stays bounded.
"""

import asyncio
import resource
import struct
import sys
from pathlib import Path

import msgspec
import pytest

from bench.minimal_api import Answer
from protocol.frames import encode_frame
from supervisor.logs import MOST_FEEDS
from supervisor.outcome import FailureKind, Outcome
from supervisor.records import Record
from tests.supervisor.keeper.world import fds
from tests.system.world import Stage, on, play, stage

pytestmark = pytest.mark.slow

MIB = 1024 * 1024


def hexed(payload: bytes) -> str:
    return (struct.pack(">I", len(payload)) + payload).hex()


BREAKS = {
    "zero length": "raw.00000000",
    "4 GiB header": "header.4294967295",
    "not msgpack": "raw.00000002c1c1",
    "not an array": f"raw.{hexed(msgspec.msgpack.encode({'a': 1}))}",
    "an array of one": f"raw.{hexed(msgspec.msgpack.encode([1]))}",
    "an id that is none": f"raw.{hexed(msgspec.msgpack.encode(['x', None, None]))}",
    "two values": f"raw.{hexed(msgspec.msgpack.encode([1, None, None]) * 2)}",
}
REFUSED = {
    "unknown type": encode_frame((7, {"type": "MakeCoffee"}, None)).hex(),
    "no body": encode_frame((7, None, None)).hex(),
    "no type": encode_frame((7, {"key": "k"}, None)).hex(),
    "a bad field": encode_frame((7, {"type": "GetVariable", "key": 3}, None)).hex(),
    "a surplus field": encode_frame((7, {"type": "SkipDownstreamTasks", "tasks": [], "x": 1}, None)).hex(),
}


def own_rss() -> int:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize()


async def beside_a_healthy_one(folder: Path, task_id: str, **flags: object) -> tuple[Record, Stage]:
    """Make the attempt while another one works, and hold that one to its success."""
    async with stage(folder, flags) as found:
        found.api.variables |= {"k": "v", "big": "x" * 100_000}
        before = own_rss()
        record, healthy = await asyncio.gather(found.run(task_id), found.run("read.50"))
        assert (healthy.outcome, healthy.kind) == (Outcome.SUCCESS, None)
        assert own_rss() - before < 64 * MIB
        again = await found.run("say.success")
        assert again.reported
        return record, found


@pytest.mark.parametrize("task_id", BREAKS.values(), ids=BREAKS)
def test_a_frame_that_cannot_be_read_fails_its_attempt(tmp_path: Path, task_id: str) -> None:
    record, found = play(beside_a_healthy_one(tmp_path, task_id))
    assert (record.outcome, record.kind) == (Outcome.FAILED, FailureKind.PROTOCOL)
    assert found.told(record) == ["failed"]


HALF = "import os, struct; os.write(int(os.environ['TASKHAND_FD']), struct.pack('>I', 100) + bytes(50)); "


@pytest.mark.parametrize(
    ("end", "kind"),
    [("", FailureKind.PROTOCOL), ("os._exit(3)", FailureKind.APP), ("os.kill(os.getpid(), 9)", FailureKind.APP)],
    ids=["exit 0", "exit 3", "SIGKILL"],
)
def test_a_program_that_ends_in_the_middle_of_a_frame_is_no_success(
    tmp_path: Path, end: str, kind: FailureKind
) -> None:
    """Whose exit 0 alone would be one. One that was killed or failed ends as it would have ended anyway."""

    async def scenario() -> Record:
        async with stage(tmp_path) as found:
            workload = found.workload("t", "command", command=[sys.executable, "-S", "-c", HALF + end])
            return await found.attempt(workload).run()

    record = play(scenario())
    assert (record.outcome, record.kind) == (Outcome.FAILED, kind)


def test_a_child_that_waits_after_a_frame_that_cannot_be_read_is_told_that_nothing_comes(tmp_path: Path) -> None:
    record, _ = play(beside_a_healthy_one(tmp_path, "deaf_after.00000000"))
    assert (record.kind, record.exit, record.signal) == (FailureKind.PROTOCOL, 74, None)


@pytest.mark.parametrize("frame", REFUSED.values(), ids=REFUSED)
def test_a_question_that_cannot_be_read_is_answered(tmp_path: Path, frame: str) -> None:
    record, _ = play(beside_a_healthy_one(tmp_path, f"refused.{frame}"))
    assert (record.outcome, record.kind, record.exit) == (Outcome.SUCCESS, None, 0)


@pytest.mark.parametrize("task_id", ["bytewise", "pipelined.10000", "collides"])
def test_unusual_but_right(tmp_path: Path, task_id: str) -> None:
    record, _ = play(beside_a_healthy_one(tmp_path, task_id))
    assert (record.outcome, record.exit) == (Outcome.SUCCESS, 0)


def test_a_message_that_the_runtime_may_not_send_is_refused(tmp_path: Path) -> None:
    frame = encode_frame((7, {"type": "GetConnection", "conn_id": "c"}, None)).hex()
    runtimes = {"kind": "python", "messages": ["SucceedTask"]}

    async def scenario() -> Record:
        async with stage(tmp_path, {"runtimes.narrow": runtimes}) as found:
            found.api.connections["c"] = {}
            record = await found.run(f"refused.{frame}", "narrow")
            assert not any("connections" in call.path for call in found.api.calls)
            return record

    record = play(scenario())
    assert (record.outcome, record.exit) == (Outcome.SUCCESS, 0)


def test_an_id_that_is_open_already_breaks_the_conversation(tmp_path: Path) -> None:
    frame = encode_frame((7, {"type": "GetVariable", "key": "k"}, None)) * 2
    record, _ = play(beside_a_healthy_one(tmp_path, f"raw.{frame.hex()}"))
    assert record.kind is FailureKind.PROTOCOL


def test_answers_that_are_never_read_cost_one_buffer(tmp_path: Path) -> None:
    async def scenario() -> Record:
        async with stage(tmp_path) as found:
            found.api.variables["big"] = "x" * MIB
            found.api.record = False
            before = own_rss()
            workload = found.workload("unread.1000", policy={"execution_timeout_s": 1.5})
            record = await found.attempt(workload).run()
            assert own_rss() - before < 256 * MIB
            return record

    record = play(scenario())
    assert (record.outcome, record.kind) == (Outcome.FAILED, FailureKind.TIMEOUT)


@pytest.mark.parametrize(("first", "second"), [("success", "failed"), ("deferred", "success"), ("failed", "failed")])
def test_the_first_terminal_message_counts(tmp_path: Path, first: str, second: str) -> None:
    record, found = play(beside_a_healthy_one(tmp_path, f"twice.{first}.{second}"))
    assert (record.outcome, found.told(record), record.exit) == (first, [first], 0)


@pytest.mark.parametrize(("then", "code", "number"), [("exit5", 5, None), ("segv", None, 11), ("hang", None, 15)])
def test_what_comes_after_a_terminal_message_changes_nothing(
    tmp_path: Path, then: str, code: int | None, number: int | None
) -> None:
    record, found = play(beside_a_healthy_one(tmp_path, f"say.success.{then}"))
    assert (record.outcome, record.kind, found.told(record)) == (Outcome.SUCCESS, None, ["success"])
    assert (record.exit, record.signal) == (code, number)


def test_hanging_after_a_deferral_is_ended_too(tmp_path: Path) -> None:
    record, found = play(beside_a_healthy_one(tmp_path, "say.deferred.hang"))
    assert (record.outcome, found.told(record), record.signal) == (Outcome.DEFERRED, ["deferred"], 15)


def test_a_child_that_ignores_sigterm_is_killed_and_its_stacks_are_in_the_log(tmp_path: Path) -> None:
    async def scenario() -> tuple[Record, str]:
        async with stage(tmp_path) as found:
            workload = found.workload("say.success.deaf")
            record = await found.attempt(workload).run()
            return record, found.log(workload)

    record, log = play(scenario())
    assert (record.outcome, record.signal) == (Outcome.SUCCESS, 9)
    assert "most recent call first" in log
    assert "in die" in log


@pytest.mark.parametrize("then", ["exit0", "hang"])
def test_a_child_that_closes_its_frames(tmp_path: Path, then: str) -> None:
    record, _ = play(beside_a_healthy_one(tmp_path, f"closes.{then}"))
    expected = FailureKind.NO_OUTCOME if then == "exit0" else FailureKind.PROTOCOL
    assert (record.outcome, record.kind) == (Outcome.FAILED, expected)


def test_a_child_may_have_further_log_channels_and_not_all_of_our_fds(tmp_path: Path) -> None:
    async def scenario() -> tuple[Record, str]:
        async with stage(tmp_path) as found:
            await found.run("relogs.20")  # connections to the API are made, and kept
            before = fds()
            workload = found.workload("relogs.20")
            record = await found.attempt(workload).run()
            assert fds() == before
            return record, found.log(workload)

    record, log = play(scenario())
    assert record.outcome is Outcome.SUCCESS
    assert log.count("over channel") == MOST_FEEDS - 3


def test_a_word_that_the_server_cannot_take_leaves_the_task_another(tmp_path: Path) -> None:
    async def scenario() -> tuple[Record, list[str]]:
        async with stage(tmp_path) as found:
            workload = found.workload("declined.success.failed")
            bad = Answer(422, {"detail": {"reason": "invalid_partition_key", "message": "no such partition"}})
            found.api.faults.append(on("state", bad, workload.ti.id, times=1))
            record = await found.attempt(workload).run()
            return record, found.told(record)

    record, told = play(scenario())
    assert (record.outcome, told, record.exit) == (Outcome.FAILED, ["failed"], 0)


def test_a_clock_that_jumps_moves_no_deadline(tmp_path: Path) -> None:
    """Deadlines are counted on the loop's clock, which nobody can set; what a server's clock says decides nothing."""

    async def scenario() -> Record:
        async with stage(tmp_path) as found:
            workload = found.workload("read.20", policy={"execution_timeout_s": 30.0})
            far = {"start_date": "1970-01-01T00:00:00Z"}
            found.api.contexts[str(workload.ti.id)] = far
            found.api.variables["k"] = "v"
            return await found.attempt(workload).run()

    assert play(scenario()).outcome is Outcome.SUCCESS
