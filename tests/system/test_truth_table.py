"""Every row of the truth table, with a real process. All rows run at once, in one worker: none may notice another."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench.minimal_api import Answer, Call, refusal
from protocol.messages.checkpoints import StopReason
from supervisor.outcome import ROWS, FailureKind
from supervisor.records import Record
from tests.system.world import Stage, on, play, stage

pytestmark = pytest.mark.slow

K = FailureKind
RETRY = {"context": {"should_retry": True, "max_tries": 2}}
NOT_HERE = {
    "said, told at the end": "a worker that lives waits for the answer; for one killed meanwhile: test_kill_points",
    "out of memory": "needs a machine that lets a test limit memory: test_memory",
    "out of memory, retry": "as above",
    "lost": "a worker that lives knows how each child ended; one that was killed with its keeper: test_outbox",
    "lost, retry": "as above",
}


class Case(NamedTuple):
    """How a row is brought about, and what comes of it."""

    row: str
    task: str
    outcome: str
    kind: FailureKind | None
    told: list[str]
    runtime: str = "python"
    more: dict[str, Any] = {}
    stop: StopReason | None = None
    """Asked for when the child has shown that it is up."""
    before: Callable[[Stage, str], None] | None = None


def finished(api_stage: Stage, ti_id: str) -> None:
    api_stage.api.states[ti_id] = "success"


def moved_on(api_stage: Stage, ti_id: str) -> None:
    """Between `/run` and the end, somebody else moves the task instance."""

    def fault(call: Call) -> Answer | None:
        if call.path.endswith(f"{ti_id}/state"):
            api_stage.api.states[ti_id] = "removed"
        return None

    api_stage.api.faults.append(fault)


def beats_refused(api_stage: Stage, ti_id: str) -> None:
    api_stage.api.faults.append(on("heartbeat", refusal(409, "not_running", current_state="failed"), ti_id))


def beats_lost(api_stage: Stage, ti_id: str) -> None:
    api_stage.api.faults.append(on("heartbeat", Answer(503, raw=b"busy", kind="text/plain"), ti_id))


def sh(code: str) -> dict[str, Any]:
    return {"command": ["sh", "-c", code]}


SHORT_LEASE = {"lease": {"seconds": 1.0, "fence": 1}}

CASES = [
    Case("start refused", "say.success", "not_started", None, [], before=finished),
    Case("said and told", "say.success.segv", "success", None, ["success"]),
    Case("said too late", "say.success", "server_terminated", K.FENCED, [], before=moved_on),
    Case("terminated by the server", "silent.hang", "server_terminated", K.FENCED, [], before=beats_refused),
    Case("killed by a person", "progress", "failed", K.KILLED, ["failed"], stop=StopReason.USER_KILL, more=RETRY),
    Case("never started", "", "failed", K.BOOT, ["failed"], "plain", {"command": ["/no/such/program"]}),
    Case("never started, retry", "", "up_for_retry", K.BOOT, ["up_for_retry"], "command", RETRY),
    Case("broken conversation", "raw.00000000", "failed", K.PROTOCOL, ["failed"]),
    Case("broken conversation, retry", "raw.00000000", "up_for_retry", K.PROTOCOL, ["up_for_retry"], more=RETRY),
    Case("never came up", "", "failed", K.BOOT, ["failed"], "command", {"command": ["sleep", "1000"]}),
    Case(
        "never came up, retry", "", "up_for_retry", K.BOOT, ["up_for_retry"], "command",
        {"command": ["sleep", "1000"], **RETRY},
    ),
    Case("out of time", "limited", "failed", K.TIMEOUT, ["failed"]),
    Case("out of time", "progress", "failed", K.TIMEOUT, ["failed"], more={"policy": {"progress_timeout_s": 0.3}}),
    Case("out of time, retry", "limited", "up_for_retry", K.TIMEOUT, ["up_for_retry"], more=RETRY),
    Case("code: checkpointed", "", "checkpointed", None, ["checkpointed"], "plain", sh("exit 85")),
    Case("code: skipped", "", "skipped", None, ["skipped"], "plain", sh("exit 99")),
    Case("code: retry", "", "up_for_retry", K.APP, ["up_for_retry"], "plain", {**sh("exit 75"), **RETRY}),
    Case("code: retry, none left", "", "failed", K.APP, ["failed"], "plain", sh("exit 75")),
    Case("code: failed", "", "failed", K.APP, ["failed"], "strict", {**sh("exit 3"), **RETRY}),
    Case("stopped on a checkpoint", "save.hang", "checkpointed", None, ["checkpointed"], stop=StopReason.DRAIN),
    Case("evicted", "progress", "up_for_reschedule", K.EVICTED, ["up_for_reschedule"], stop=StopReason.EVICT),
    Case(
        "lease ended", "silent.hang", "up_for_reschedule", K.FENCED, ["up_for_reschedule"],
        more=SHORT_LEASE, before=beats_lost,
    ),
    Case("exit 0", "", "success", None, ["success"], "plain", sh("exit 0")),
    Case("no outcome", "silent.exit0", "failed", K.NO_OUTCOME, ["failed"]),
    Case("no outcome, retry", "silent.exit0", "up_for_retry", K.NO_OUTCOME, ["up_for_retry"], more=RETRY),
    Case("signal", "silent.kill", "failed", K.APP, ["failed"]),
    Case("signal, retry", "silent.segv", "up_for_retry", K.APP, ["up_for_retry"], more=RETRY),
    Case("code", "silent.exit5", "failed", K.APP, ["failed"]),
    Case("code, retry", "silent.exit5", "up_for_retry", K.APP, ["up_for_retry"], more=RETRY),
]  # fmt: skip

# What Airflow tells nobody, tells twice or tells wrong (CONTRACT 3.2), beside the rows above.
WORDS = [
    Case("said and told", f"{how}.{word}.{then}", word, kind, [word], more=more)
    for word, kind in (
        ("success", None), ("failed", K.APP), ("skipped", None), ("removed", None), ("up_for_retry", K.APP),
        ("up_for_reschedule", None), ("deferred", None), ("awaiting_input", None), ("checkpointed", None),
    )
    for how, then in (("say", "exit0"), ("say", "exit5"), ("say", "kill"), ("shout", "kill"))
    for more in ({}, RETRY)
]  # fmt: skip

SETTINGS: dict[str, object] = {
    "limits.boot_s": 0.3,
    "runtimes.strict": {"kind": "plain", "codes": {"3": "fail code"}},
}


async def made(api_stage: Stage, case: Case) -> tuple[Case, Record]:
    workload = api_stage.workload(case.task or "t", case.runtime, **case.more)
    if case.before is not None:
        case.before(api_stage, str(workload.ti.id))
    attempt = api_stage.attempt(workload)
    running = asyncio.ensure_future(attempt.run())
    if case.stop is not None:
        await api_stage.asked(workload.ti.id, "checkpoint" if case.task.startswith("save") else "heartbeat")
        attempt.stop(case.stop)
    return case, await running


async def all_made(folder: Path, cases: list[Case]) -> "Results":
    async with stage(folder, SETTINGS) as api_stage:
        # Half of them at a time are enough to disturb each other, and leave the machine to the deadlines.
        limit = asyncio.Semaphore(16)

        async def one(case: Case) -> tuple[Case, Record]:
            async with limit:
                return await made(api_stage, case)

        results = await asyncio.gather(*(one(case) for case in cases))
        return {id_of(case): (record, api_stage.told(record)) for case, record in results}


def id_of(case: Case) -> str:
    return f"{case.row}-{case.task}-{case.runtime}{'-retry' if 'context' in case.more else ''}"


Results = dict[str, tuple[Record, list[str]]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return play(all_made(tmp_path_factory.mktemp("state"), [*CASES, *WORDS]))


def test_every_row_is_here_or_says_why_not() -> None:
    assert {case.row for case in CASES} | set(NOT_HERE) == {row.verdict.row for row in ROWS}


@pytest.mark.parametrize("case", [*CASES, *WORDS], ids=id_of)
def test_a_row_comes_true(results: Results, case: Case) -> None:
    record, told = results[id_of(case)]
    assert (record.row, record.outcome, record.kind, told) == (case.row, case.outcome, case.kind, case.told)
    assert record.reported == bool(told)
    if record.kind is K.FENCED:
        assert ("lease" in record.why) == (record.row == "lease ended")
