"""What a worker could not tell, the next one on its state directory tells; and nothing is run again."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import pytest

from bench.minimal_api import Answer, Call, MinimalApi, refusal
from supervisor.journal import VERSION
from supervisor.journal_files import folder_of, numbers, read, segment_name
from supervisor.keeper.identity import stat_fields
from tests.architecture.layout import ROOT
from tests.supervisor.test_journal import sealed
from tests.system.leaving import processes_of
from tests.system.test_commands import PLAIN, TOKEN, output, worker, workload
from tests.system.test_kill_points import kill_family, started
from tests.system.world import measured, play

pytestmark = pytest.mark.slow

RETRY = {"should_retry": True, "max_tries": 2}


async def stopped(process: Process) -> tuple[int, str]:
    process.send_signal(signal.SIGTERM)
    code, _, complaints = await output(process)
    return code, complaints


async def killed(process: Process) -> None:
    process.kill()
    await output(process)


async def listed(folder: Path) -> tuple[int, dict[str, Any]]:
    code, out, _ = await output(await worker(folder, "outbox", "--json"))
    found: dict[str, Any] = json.loads(out)
    return code, found


def owed(folder: Path) -> int:
    return sum(entry.owed is not None for entry in read(folder_of(folder)).story.entries.values())


def begun(folder: Path) -> int:
    return len([*folder.glob("begun.*")])


async def outage(folder: Path, count: int, away_s: float, *, restart: bool) -> tuple[MinimalApi, float, list[str]]:
    """`count` tasks run; the API goes away, they end one after the other, and the API returns.

    The worker may be killed and started again in between, when all have ended.
    """
    api = MinimalApi()
    url = await api.start()
    first = await started(folder, url, slots=count)
    go = folder / "go"  # none ends before the API is away, however slowly the last of them begins
    os.mkfifo(go)
    held = os.open(go, os.O_RDWR)
    script = ': >"$0/begun.$1"; read -r _ <"$0/go"; sleep "$2"; exit "$3"'
    given = [
        workload(
            api,
            number,
            command=["sh", "-c", script, str(folder), str(number), f"{number / count * away_s * 0.8}", str(number % 3)],
            policy={"outage": "keep"},
            **PLAIN,
        )
        for number in range(count)
    ]
    api.queue(*given)
    while begun(folder) < count:  # noqa: ASYNC110 - what is waited for is what others write
        await asyncio.sleep(0.05)
    await api.stop()
    os.close(held)
    loop = asyncio.get_running_loop()
    gone = loop.time()
    while owed(folder) < count:  # noqa: ASYNC110 - what is waited for is another process's file
        await asyncio.sleep(0.05)  # until all have ended, which nobody can be told of
    code, found = await listed(folder)
    assert (code, len(found["undelivered"]), len(found["running"])) == (1, count, 0)
    assert found["worker"]["pid"] == first.pid
    if restart:
        await killed(first)
        first = await started(folder, url, slots=count)
    await asyncio.sleep(max(gone + away_s - loop.time(), 0.0))
    await api.start()
    back = loop.time()
    await api.until(lambda api: "running" not in api.states.values())
    took = loop.time() - back
    code, _ = await stopped(first)
    assert code == 0
    assert (await listed(folder))[0] == 0
    await api.stop()
    measured(f"{count} tasks ended in {back - gone:.0f} s without the API, all told {took:.1f} s after its return")
    return api, took, [each["ti"]["id"] for each in given]


async def exercise_outage(folder: Path, count: int, away_s: float, *, restart: bool) -> None:
    api, took, ids = await outage(folder, count, away_s, restart=restart)
    for number, ti in enumerate(ids):
        told = ("failed", "app") if number % 3 else ("success", None)  # by its own exit, and none was killed
        assert [(body["state"], body.get("kind")) for body in api.ends[ti]] == [told]
        assert len({call.raw for call in api.calls if call.path.endswith(f"{ti}/state")}) == 1
        assert sum(call.path.endswith(f"{ti}/run") for call in api.calls) == 1
    assert took < 10.0, took


def exercise_outages(folder: Path, count: int, away_s: float) -> None:
    """One worker that lives through it and one that is killed, at the same time: most of it is waiting."""

    async def both() -> None:
        for name in ("lasting", "restarted"):
            (folder / name).mkdir()
        await asyncio.gather(
            exercise_outage(folder / "lasting", count, away_s, restart=False),
            exercise_outage(folder / "restarted", count, away_s, restart=True),
        )

    play(both(), within_s=away_s + 200.0)


@pytest.mark.slow(90)
@pytest.mark.timeout(300)
def test_fifty_tasks_that_end_while_the_api_is_away_for_a_minute(tmp_path: Path) -> None:
    exercise_outages(tmp_path, 50, 60.0)


@pytest.mark.soak
def test_fifty_tasks_that_end_while_the_api_is_away_for_ten_minutes(tmp_path: Path) -> None:
    exercise_outages(tmp_path, 50, 600.0)


LOST: dict[str, tuple[dict[str, Any], dict[str, Any], str, str | None]] = {
    "lost": ({"task_id": "progress"}, {}, "failed", "lost"),
    "lost, retry": ({"task_id": "progress"}, RETRY, "up_for_retry", "lost"),
    "saved": ({"task_id": "save.hang"}, RETRY, "checkpointed", None),
    "plain": ({"task_id": "plain", "command": ["sleep", "1000"], **PLAIN}, RETRY, "up_for_retry", "lost"),
    "plain, saved": (
        {"command": ["sh", "-c", "echo 1 > $TASKHAND_CHECKPOINT_DIR/c; sleep 1000"], **PLAIN}, RETRY,
        "checkpointed", None,
    ),
}  # fmt: skip


def test_the_truth_is_told_about_attempts_that_ran_when_their_worker_was_killed(tmp_path: Path) -> None:
    """Worker and keeper are killed at once: nobody is left who could stop the children, or know their end."""

    async def scenario() -> tuple[MinimalApi, dict[str, str], list[int], str]:
        api = MinimalApi()
        url = await api.start()
        first = await started(tmp_path, url)
        given = {name: workload(api, number, **more) for number, (name, (more, *_)) in enumerate(LOST.items())}
        for name, (_, context, *_) in LOST.items():
            api.contexts[given[name]["ti"]["id"]] = context
        api.queue(*given.values())
        await api.until(
            lambda api: len(api.checkpoints) == 2 and list(api.states.values()).count("running") == len(LOST)
        )
        while not all_began(tmp_path):  # noqa: ASYNC110 - what is waited for is another process's file
            await asyncio.sleep(0.01)
        family = processes_of(first.pid)
        assert len(family) >= len(LOST) + 1
        os.kill(first.pid, signal.SIGSTOP)  # so that it does not replace its keeper
        for pid in family:
            if stat_fields(pid)[1] == str(first.pid).encode():  # the keeper
                os.kill(pid, signal.SIGKILL)
        await killed(first)
        second = await started(tmp_path, url)
        await api.until(lambda api: "running" not in api.states.values())
        left = processes_of(first.pid)
        code, complaints = await stopped(second)
        assert code == 0
        await api.stop()
        return api, {name: each["ti"]["id"] for name, each in given.items()}, left, complaints

    api, ids, left, complaints = play(scenario())
    for name, (_, _, state, kind) in LOST.items():
        told = api.ends[ids[name]]
        assert [(body["state"], body.get("kind")) for body in told] == [(state, kind)], name
    assert left == []
    assert "5 attempts ran when it ended" in complaints
    assert [*(tmp_path / "tmp").iterdir()] == []


def test_of_what_was_killed_by_a_person_meanwhile_the_next_worker_says_that_it_is_gone(tmp_path: Path) -> None:
    """The server keeps its slot until then, or for a lease."""

    async def scenario() -> tuple[MinimalApi, str]:
        api = MinimalApi()
        url = await api.start()
        first = await started(tmp_path, url)
        given = workload(api, task_id="progress")
        ti: str = given["ti"]["id"]
        api.contexts[ti] = RETRY
        api.queue(given)
        await api.until(lambda api: api.states[ti] == "running")
        while not any(  # noqa: ASYNC110 - what is waited for is another process's file
            entry.process for entry in read(folder_of(tmp_path)).story.entries.values()
        ):
            await asyncio.sleep(0.01)
        await killed(first)
        kill_family(first.pid)
        api.states[ti] = "failed"
        second = await started(tmp_path, url)
        await api.until(lambda api: bool(api.gone))
        assert (await stopped(second))[0] == 0
        await api.stop()
        return api, ti

    api, ti = play(scenario())
    assert (api.gone, ti in api.ends) == ([ti], False)


def all_began(folder: Path) -> bool:
    entries = read(folder_of(folder)).story.entries.values()
    processes = [entry for entry in entries if entry.process is not None]
    return len(processes) == len(LOST) and sum(entry.saved is not None for entry in entries) == 2


async def owing(folder: Path, api: MinimalApi, url: str, task_id: str = "local.2000") -> str:
    """Have a worker killed that owes an outcome, and give whose."""
    first = await started(folder, url, "outcome.durable")
    given = workload(api, task_id=task_id)
    api.queue(given)
    await output(first)
    kill_family(first.pid)
    ti: str = given["ti"]["id"]
    return ti


def test_a_word_that_the_server_cannot_take_is_no_word_and_the_attempt_is_lost(tmp_path: Path) -> None:
    async def scenario() -> tuple[MinimalApi, str]:
        api = MinimalApi()
        url = await api.start()
        ti = await owing(tmp_path, api, url)

        def unfit(call: Call) -> Answer | None:
            bad = call.path.endswith("/state") and call.body["state"] == "success"
            return Answer(422, {"detail": "no"}) if bad else None

        api.faults.append(unfit)
        second = await started(tmp_path, url)
        await api.until(lambda api: api.states[ti] != "running")
        assert (await stopped(second))[0] == 0
        await api.stop()
        return api, ti

    api, ti = play(scenario())
    assert [(body["state"], body["kind"]) for body in api.ends[ti]] == [("failed", "lost")]


def test_an_attempt_that_the_server_has_given_up_is_settled(tmp_path: Path) -> None:
    async def scenario() -> int:
        api = MinimalApi()
        url = await api.start()
        await owing(tmp_path, api, url)
        api.faults.append(lambda call: refusal(404, "not_found") if call.path.endswith("/state") else None)
        second = await started(tmp_path, url)
        await api.until(lambda api: any(call.path.endswith("/state") for call in api.calls))
        assert (await stopped(second))[0] == 0
        code, _ = await listed(tmp_path)
        await api.stop()
        return code

    assert play(scenario()) == 0


def test_a_token_that_is_no_longer_good_keeps_the_outcome_for_the_next_worker(tmp_path: Path) -> None:
    async def scenario() -> tuple[MinimalApi, str]:
        api = MinimalApi()
        url = await api.start()
        ti = await owing(tmp_path, api, url)
        expired = Answer(401, {"detail": "Invalid auth token"})
        api.faults.append(lambda call: expired if call.path.endswith("/state") else None)
        second = await started(tmp_path, url)
        await api.until(lambda api: any(call.path.endswith("/state") for call in api.calls))
        code, complaints = await stopped(second)
        assert (code, "stays in the journal" in complaints) == (1, True)
        code, found = await listed(tmp_path)
        assert (code, found["worker"], found["undelivered"][0]["state"]) == (1, None, "success")
        api.faults.clear()
        third = await started(tmp_path, url)
        await api.until(lambda api: api.states[ti] != "running")
        assert (await stopped(third))[0] == 0
        await api.stop()
        return api, ti

    api, ti = play(scenario())
    assert [body["state"] for body in api.ends[ti]] == ["success"]


def test_what_is_owed_to_one_server_is_shown_to_no_other(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, str, list[Call]]:
        api = MinimalApi()
        url = await api.start()
        await owing(tmp_path, api, url)
        api.calls.clear()
        second = await started(tmp_path, url.replace("127.0.0.1", "localhost"))
        code, complaints = await stopped(second)
        await api.stop()
        return code, complaints, [call for call in api.calls if call.path.endswith("/state")]

    code, complaints, calls = play(scenario())
    assert (code, calls) == (1, [])
    assert "it stays in the journal" in complaints


def test_two_workers_cannot_share_a_state_directory_and_the_second_says_who_has_it(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, str, int]:
        api = MinimalApi()
        url = await api.start()
        first = await started(tmp_path, url)
        code, _, err = await output(await worker(tmp_path, "run", "--api", url, **TOKEN))
        assert (await stopped(first))[0] == 0
        await api.stop()
        return code, err, first.pid

    code, err, pid = play(scenario())
    assert code == 2
    assert f"(pid {pid}), which runs" in err
    assert "--state-dir" in err


async def doctor(folder: Path) -> tuple[str, str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TASKHAND_WORKER_STATE_DIR": str(folder)}
    command = [sys.executable, "-m", "supervisor", "doctor", "--json"]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=env, cwd=folder)
    _, out, _ = await output(process)
    found = {each["subject"]: each for each in json.loads(out)["findings"]}
    return found["journal"]["level"], found["journal"]["message"]


def test_a_journal_of_a_newer_version_is_refused_and_the_doctor_says_so(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, str, tuple[str, str]]:
        api = MinimalApi()
        url = await api.start()
        await owing(tmp_path, api, url)
        seen = await doctor(tmp_path)
        assert seen[0] == "note"
        assert "1 outcomes undelivered" in seen[1]
        number = numbers(folder_of(tmp_path))[-1] + 1
        newer = folder_of(tmp_path) / segment_name(number)
        newer.write_bytes(sealed(b"?", VERSION + 1, number))
        code, _, err = await output(await worker(tmp_path, "run", "--api", url, **TOKEN))
        await api.stop()
        return code, err, await doctor(tmp_path)

    code, err, seen = play(scenario())
    assert code == 2
    assert "run the newer one" in err
    assert seen[0] == "problem"


def test_ps_lists_what_is_undelivered(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, dict[str, Any], tuple[int, str, str]]:
        api = MinimalApi()
        url = await api.start()
        ti = await owing(tmp_path, api, url)
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TASKHAND_WORKER_STATE_DIR": str(tmp_path)}
        command = [sys.executable, "-m", "supervisor", "ps", "--undelivered", "--json"]
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=env, cwd=tmp_path)
        code, out, _ = await output(process)
        plain = await output(await worker(tmp_path, "outbox"))
        await api.stop()
        assert ti in plain[1]
        return code, json.loads(out), plain

    code, found, plain = play(scenario())
    assert code == plain[0] == 1
    assert [line["state"] for line in found["undelivered"]] == ["success"]
    assert "token" not in found["undelivered"][0]
    assert "1 undelivered, 0 running; no worker runs" in plain[2]


def test_without_a_journal_a_worker_works_as_before(tmp_path: Path) -> None:
    async def scenario() -> tuple[MinimalApi, str]:
        api = MinimalApi()
        url = await api.start()
        process = await worker(tmp_path, "run", "--api", url, **TOKEN, TASKHAND_JOURNAL_ENABLED="false")
        given = workload(api, task_id="say.success")
        api.queue(given)
        await api.until(lambda api: api.states[given["ti"]["id"]] == "success")
        assert (await stopped(process))[0] == 0
        await api.stop()
        return api, given["ti"]["id"]

    play(scenario())
    assert not folder_of(tmp_path).exists()
