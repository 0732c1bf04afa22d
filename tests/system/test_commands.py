"""The commands, as processes."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.minimal_api import Answer, Call, MinimalApi
from tests.architecture.layout import ROOT
from tests.supervisor.test_sources import envelope
from tests.system.leaving import note
from tests.system.world import ENTRY, on, play

pytestmark = pytest.mark.slow

PLAIN: dict[str, Any] = {"runtime": "plain"}
TOKEN = {"TASKHAND_WORKER_TOKEN": "token"}


def workload(api: MinimalApi, number: int = 1, **more: Any) -> dict[str, Any]:
    found = envelope(number) | {"lease": {"seconds": 30.0, "fence": 1}} | more
    found["ti"] = found["ti"] | {"task_id": more.pop("task_id", "t")}
    api.states[found["ti"]["id"]] = "queued"
    return found


async def worker(folder: Path, *arguments: str, **environ: str) -> Process:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TASKHAND_KEEPER_ENTRY": ENTRY, **environ}
    command = [sys.executable, "-m", "supervisor", *arguments, "--state-dir", str(folder)]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=env, cwd=folder)
    note(process.pid)
    return process


async def output(process: Process, given: bytes | None = None) -> tuple[int, str, str]:
    out, err = await process.communicate(given)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def test_run_works_off_what_it_reads(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, list[dict[str, Any]], MinimalApi]:
        api = MinimalApi()
        url = await api.start()
        lines = [workload(api, number, command=["sh", "-c", f"exit {number % 2}"], **PLAIN) for number in range(1, 9)]
        given = b"\n".join(msgspec.json.encode(line) for line in lines) + b"\n"
        process = await worker(tmp_path, "run", "--source", "stdin", "--slots", "3", "--api", url, "--json")
        code, out, _ = await output(process, given)
        await api.stop()
        return code, [json.loads(line) for line in out.splitlines()], api

    code, records, api = play(scenario())
    assert code == 0
    assert sorted(record["outcome"] for record in records) == ["failed"] * 4 + ["success"] * 4
    assert all(record["reported"] for record in records)
    assert sorted(api.states.values()) == ["failed"] * 4 + ["success"] * 4


async def claiming(folder: Path, api: MinimalApi, *arguments: str) -> Process:
    url = await api.start()
    process = await worker(folder, "run", "--api", url, *arguments, **TOKEN)
    assert process.stderr is not None
    assert b"ready" in await process.stderr.readline()
    return process


def test_sigterm_drains_checkpoints_and_reports(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, dict[str, str]]:
        api = MinimalApi()
        process = await claiming(tmp_path, api, "--slots", "4")
        api.queue(workload(api, 1, task_id="notice"), workload(api, 2, command=["sleep", "100"], **PLAIN))
        await api.until(lambda api: any(call.path.endswith("/variables/ready") for call in api.calls))
        await api.until(lambda api: set(api.states.values()) == {"running"})
        process.send_signal(signal.SIGTERM)
        code, _, _ = await output(process)
        await api.stop()
        return code, api.states

    code, states = play(scenario())
    assert code == 0
    assert sorted(states.values()) == ["checkpointed", "up_for_reschedule"]


def test_a_second_sigterm_shortens_patience_and_not_the_accounting(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, dict[str, str]]:
        api = MinimalApi()
        process = await claiming(tmp_path, api)
        api.queue(workload(api, 1, task_id="silent.deaf"))
        await api.until(lambda api: set(api.states.values()) == {"running"})
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        code, _, _ = await output(process)
        await api.stop()
        return code, api.states

    code, states = play(scenario())
    assert (code, list(states.values())) == (0, ["up_for_reschedule"])


def test_drain_finds_the_workers_of_its_state_directory(tmp_path: Path) -> None:
    async def scenario() -> tuple[dict[str, Any], int | None, int]:
        api = MinimalApi()
        process = await claiming(tmp_path, api, "--name", "w1")
        code, out, _ = await output(await worker(tmp_path, "drain", "--wait", "20", "--json"))
        await output(process)
        again, _, _ = await output(await worker(tmp_path, "drain", "--wait", "1"))
        await api.stop()
        assert code == 0
        return json.loads(out), process.returncode, again

    found, code, again = play(scenario())
    assert [(each["name"], each["ended"]) for each in found["workers"]] == [("w1", True)]
    assert (code, again) == (0, 0)


def test_a_claim_without_a_token_is_not_tried(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, str, str]:
        return await output(await worker(tmp_path, "run"))

    code, _, err = play(scenario())
    assert code == 2
    assert "TASKHAND_WORKER_TOKEN" in err


def test_a_worker_whose_token_is_refused_says_what_to_do_and_exits_2(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, str, str]:
        api = MinimalApi()
        url = await api.start()
        api.faults.append(on("claim", Answer(403, {"detail": "Invalid auth token"})))
        done = await output(await worker(tmp_path, "run", "--api", url, **TOKEN))
        await api.stop()
        return done

    code, _, err = play(scenario())
    assert code == 2
    assert "403 Invalid auth token; a server leaves one in its state directory, in `worker-token`" in err


def test_a_worker_whose_server_is_away_says_so_and_says_when_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> str:
        api = MinimalApi()
        url = await api.start()
        api.faults.append(on("claim", Answer(503, {"detail": "not now"}), times=6))
        api.queue(workload(api, task_id="say.success"))  # so that a claim is answered at once
        process = await worker(tmp_path, "run", "--api", url, **TOKEN)
        assert process.stderr is not None
        said = b""
        while b"answers again" not in said:
            line = await process.stderr.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGTERM)
        await process.communicate()
        await api.stop()
        return said.decode()

    said = play(scenario())
    assert said.count("/execution: nobody answers (") == 1
    assert said.count("/execution: answers again, after ") == 1


def test_a_drain_without_a_worker_says_where_it_looked(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, str, str]:
        return await output(await worker(tmp_path, "drain"))

    code, out, err = play(scenario())
    assert (code, out) == (0, "")
    assert f"no worker runs on {tmp_path}" in err


@pytest.mark.parametrize("asked", ["drain", "upgrade"])
def test_a_worker_that_left_no_note_is_not_called_nobody(tmp_path: Path, asked: str) -> None:
    async def scenario() -> tuple[int, str, int]:
        api = MinimalApi()
        process = await claiming(tmp_path, api, "--name", "w1")
        (tmp_path / "workers" / f"{process.pid}.json").unlink()
        code, _, err = await output(await worker(tmp_path, asked))
        process.terminate()
        await output(process)
        await api.stop()
        return code, err, process.pid

    code, err, pid = play(scenario())
    assert code == 1
    assert f"Error: worker w1 (pid {pid}) has {tmp_path}, and no note there" in err
    assert "no worker runs" not in err


def test_settings_are_shown_with_their_origin(tmp_path: Path) -> None:
    (tmp_path / "taskhand.toml").write_text("[worker]\nslots = 3\n")

    async def scenario() -> tuple[int, str, str]:
        return await output(await worker(tmp_path, "run", "--show-settings", "--queues", "a,b"))

    code, out, _ = play(scenario())
    assert code == 0
    assert "worker.slots = 3  # taskhand.toml" in out
    assert 'worker.queues = ["a","b"]  # --queues' in out


def test_settings_are_shown_as_json_too(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, str, str]:
        return await output(await worker(tmp_path, "run", "--show-settings", "--json", "--slots", "3"))

    code, out, _ = play(scenario())
    assert code == 0
    assert {"name": "worker.slots", "value": 3, "origin": "--slots"} in json.loads(out)["settings"]


def test_the_doctor_tries_keeper_server_and_token(tmp_path: Path) -> None:
    async def scenario() -> tuple[dict[str, str], list[Call]]:
        api = MinimalApi()
        url = await api.start()
        api.queue(workload(api))
        arguments = ["-m", "supervisor", "doctor", "--api", url, "--json"]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TASKHAND_KEEPER_ENTRY": ENTRY, **TOKEN}
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=PIPE, stderr=PIPE, env=env, cwd=tmp_path
        )
        _, out, _ = await output(process)
        await api.stop()
        return {each["subject"]: each["level"] for each in json.loads(out)["findings"]}, api.calls

    found, calls = play(scenario())
    assert (found["keeper"], found["execution API"], found["worker token"]) == ("ok", "ok", "ok")
    assert calls[-1].body["queues"] == ["taskhand doctor"]
