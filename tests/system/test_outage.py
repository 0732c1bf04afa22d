"""A server on a bad day: nothing healthy is killed, nothing is lost, nothing is told twice."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bench.minimal_api import HTML, Answer, Call, refusal
from protocol.messages.checkpoints import StopReason
from supervisor.outcome import Outcome
from supervisor.records import Record
from tests.system.children import WORDS
from tests.system.questions import QUESTIONS
from tests.system.world import Stage, on, play, stage

pytestmark = pytest.mark.slow


CONNECTION = ("host", "schema", "login", "password", "port", "extra")


async def one(folder: Path, task_id: str, *faults: tuple[str, Answer, int | None]) -> tuple[Record, list[str], Stage]:
    async with stage(folder) as found:
        found.api.variables["k"] = "v"
        workload = found.workload(task_id)
        found.api.faults += [on(verb, answer, workload.ti.id, times) for verb, answer, times in faults]
        record = await found.attempt(workload).run()
        return record, found.told(record), found


@pytest.mark.parametrize("status", [404, 409, 410])
def test_a_refused_heartbeat_stops_it_and_nothing_is_told(tmp_path: Path, status: int) -> None:
    refused = refusal(status, "not_running", current_state="failed")
    record, told, found = play(one(tmp_path, "silent.hang", ("heartbeat", refused, None)))
    assert (record.outcome, told, record.signal, record.reported) == ("server_terminated", [], 15, False)
    assert found.api.gone == [str(record.ti_id)]  # no outcome: it frees the slot


def test_what_the_server_said_is_in_the_task_s_log(tmp_path: Path) -> None:
    async def scenario() -> str:
        async with stage(tmp_path) as found:
            workload = found.workload("silent.hang")
            found.api.faults.append(on("heartbeat", refusal(409, "running_elsewhere", current_pid="7"), workload.ti.id))
            await found.attempt(workload).run()
            return found.log(workload)

    assert "409 running_elsewhere: running elsewhere" in play(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, raw=b"<html>no such backend</html>", kind="text/html"),
        Answer(409, raw=b"<html>conflict</html>", kind="text/html"),
        Answer(401, {"detail": "Missing auth token"}),
        HTML,
    ],
    ids=["404 of a proxy", "409 of a proxy", "401", "502 of a proxy"],
)
def test_a_proxy_s_page_is_no_word_of_the_server_s(tmp_path: Path, answer: Answer) -> None:
    record, told, _ = play(one(tmp_path, "read.300", ("heartbeat", answer, None)))
    assert (record.outcome, told) == ("success", ["success"])


@pytest.mark.parametrize("task", ["say.success", "silent.exit0"])
def test_an_end_that_no_token_can_tell_any_more_is_said_to_be_so(tmp_path: Path, task: str) -> None:
    """What becomes of an attempt on Airflow after an outage that was longer than its token's life."""
    expired = Answer(403, {"detail": "Invalid auth token"})
    record, told, found = play(one(tmp_path, task, ("state", expired, None)))
    assert (record.outcome, told, record.reported) == ("success" if task == "say.success" else "failed", [], False)
    (log,) = found.settings.log_dir.rglob("*.jsonl")
    assert "the server takes our token no longer" in log.read_text()


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/problem+json"])
def test_a_refusal_is_understood_in_every_dress(tmp_path: Path, kind: str) -> None:
    body = b'{"detail":{"reason":"not_running","message":"gone"}}'
    record, _, _ = play(one(tmp_path, "silent.hang", ("heartbeat", Answer(409, raw=body, kind=kind), None)))
    assert record.outcome is Outcome.SERVER_TERMINATED


@pytest.mark.parametrize("verb", ["run", "state", "k"])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, {"detail": "boom"}),
        Answer(503, {"detail": "busy"}, (("Retry-After", "0"),)),
        Answer(429, {"detail": "slow down"}, (("Retry-After", "0"),)),
        HTML,
        Answer(0, lost=True),
    ],
    ids=["500", "503", "429", "html", "lost"],
)
def test_a_call_that_fails_is_made_again(tmp_path: Path, verb: str, answer: Answer) -> None:
    lost = answer._replace(status=200) if answer.lost else answer
    record, told, _ = play(one(tmp_path, "read.1", (verb, lost, 2)))
    assert (record.outcome, told, record.exit) == ("success", ["success"], 0)


@pytest.mark.parametrize(("ours", "ended"), [(False, ("up_for_retry", True)), (True, ("server_terminated", False))])
def test_a_retry_whose_answer_was_lost_is_known_by_its_conflict(
    tmp_path: Path,
    ours: bool,  # noqa: FBT001 - a column of the table above
    ended: tuple[str, bool],
) -> None:
    """Airflow's server replaced the attempt at the first call, so the second one finds none: that is our own doing.

    Ours would have known the second call for the first one again. What it refuses it never had.
    """

    async def scenario() -> Record:
        async with stage(tmp_path) as found:
            workload = found.workload("say.up_for_retry")
            workload = workload if ours else structs.replace(workload, lease=None)
            ti_id = str(workload.ti.id)

            def replaced(call: Call) -> Answer | None:
                if not call.path.endswith(f"{ti_id}/state"):
                    return None
                if found.api.states[ti_id] == "running":
                    return Answer(204, lost=True)
                del found.api.states[ti_id]
                return None

            found.api.faults.append(replaced)
            return await found.attempt(workload).run()

    record = play(scenario())
    assert (record.outcome, record.reported) == ended


def test_an_api_that_goes_away_and_comes_back_harms_nobody(tmp_path: Path) -> None:
    """Questions wait, heartbeats go on, what ends meanwhile is told when the server is back."""

    async def scenario() -> list[tuple[Record, list[str]]]:
        async with stage(tmp_path) as found:
            found.api.variables["k"] = "v"
            tasks = ["read.2000", "read.2000", "say.success"]
            workloads = [found.workload(task) for task in tasks]
            attempts = [asyncio.ensure_future(found.attempt(each).run()) for each in workloads]
            for workload in workloads[:2]:
                await found.asked(workload.ti.id, "run")
            await found.api.stop()
            done, _ = await asyncio.wait(attempts, timeout=1.0)
            assert len(done) <= 1
            await found.api.start()
            return [(record, found.told(record)) for record in await asyncio.gather(*attempts)]

    for record, told in play(scenario()):
        assert (record.outcome, told, record.exit) == ("success", ["success"], 0)


def test_whatever_is_asked_or_said_meanwhile_waits_for_its_answer(tmp_path: Path) -> None:
    """Reads, writes, checkpoints and all kinds of last words: none of them fails because nobody answers for a while."""
    words = [*WORDS]
    tasks = [
        f"asks.{kind}.2.{words[number % len(words)]}" for number, kind in enumerate([*QUESTIONS, "variable", "save"])
    ]

    async def scenario() -> list[tuple[Record, list[str]]]:
        async with stage(tmp_path) as found:
            found.api.variables["k"] = "v"
            found.api.connections["c"] = dict.fromkeys(CONNECTION) | {"conn_id": "c", "conn_type": "http"}
            workloads = [found.workload(task) for task in tasks]
            attempts = [asyncio.ensure_future(found.attempt(each).run()) for each in workloads]
            for workload in workloads:
                await found.asked(workload.ti.id, "run")
            await found.api.stop()
            done, _ = await asyncio.wait(attempts, timeout=3.0)
            assert not done  # each waits in a question, or in its last word
            await found.api.start()
            return [(record, found.told(record)) for record in await asyncio.gather(*attempts)]

    for task, (record, told) in zip(tasks, play(scenario()), strict=True):
        word = task.rpartition(".")[2]
        assert (record.outcome, told, record.exit) == (word, [word], 0), task


def test_what_cannot_be_saved_before_the_lease_ends_goes_with_the_last_word(tmp_path: Path) -> None:
    """Policy `checkpoint_after`: it is stopped on the record that it could not save, and loses nothing."""

    async def scenario() -> tuple[Record, dict[str, Any], int]:
        async with stage(tmp_path) as found:
            workload = found.workload("saves", lease={"seconds": 4.5, "fence": 1})
            ti_id = str(workload.ti.id)
            running = asyncio.ensure_future(found.attempt(workload).run())
            await found.asked(ti_id, "checkpoint", 3)
            await found.api.stop()
            saved = len(found.api.checkpoints[ti_id])
            done, _ = await asyncio.wait([running], timeout=5.0)
            assert not done  # it has said its last word, which the server does not know yet
            await found.api.start()
            record = await running
            return record, found.api.ends[ti_id][0], saved

    record, told, saved = play(scenario())
    assert (record.outcome, record.reported, record.reason) == ("checkpointed", True, StopReason.FENCED)
    assert saved <= told["data"]["step"] <= saved + 1
    assert told["progress"] == told["data"]["step"]


def test_a_slow_question_delays_neither_its_neighbours_nor_the_heartbeat(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path, {"api.timeout_s": 30.0, "api.connections": 2}) as found:
            found.api.variables |= {"k": "v", "big": "x"}
            found.api.faults.append(on("big", Answer(0, delay_s=3.0)))
            slow = found.workload("unread.100", policy={"execution_timeout_s": 2.0})
            running = asyncio.ensure_future(found.attempt(slow).run())
            await found.asked(slow.ti.id, "heartbeat", 5)
            assert not running.done()
            quick = await found.run("say.success")
            assert quick.wall_s < 2.0
            await running

    play(scenario())


def test_a_server_of_ours_may_ask_for_a_stop(tmp_path: Path) -> None:
    asked = Answer(204, headers=(("Taskhand-Stop", "evict"),))
    record, told, found = play(one(tmp_path, "notice", ("heartbeat", asked, None)))
    assert (record.outcome, told, record.reason) == ("checkpointed", ["checkpointed"], StopReason.EVICT)
    assert found.api.ends[str(record.ti_id)][0]["data"] == {"step": 3}


def test_a_task_that_finishes_although_it_was_stopped_has_succeeded(tmp_path: Path) -> None:
    asked = Answer(204, headers=(("Taskhand-Stop", "drain"),))
    record, told, _ = play(one(tmp_path, "stubborn", ("heartbeat", asked, None)))
    assert (record.outcome, told, record.reason) == ("success", ["success"], StopReason.DRAIN)


def test_a_slot_is_free_within_ten_milliseconds_of_the_exit(tmp_path: Path) -> None:
    """Also while the server does not answer: the process is gone, and that is what a slot is for."""

    async def scenario() -> None:
        async with stage(tmp_path) as found:
            workload = found.workload("silent.exit0")
            found.api.faults.append(on("state", Answer(503), workload.ti.id, times=3))
            attempt = found.attempt(workload)
            running = asyncio.ensure_future(attempt.run())
            await attempt.released
            assert not running.done()
            record = await running
            assert record.reported

    play(scenario())
