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
from tests.system.test_up import ended
from tests.system.world import ENTRY, measured, on, play

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


def executed(
    folder: Path, command: list[str], *faults: Any, state: str = "queued"
) -> tuple[int, dict[str, Any], MinimalApi]:
    async def scenario() -> tuple[int, dict[str, Any], MinimalApi]:
        api = MinimalApi()
        url = await api.start()
        api.faults += faults
        given = workload(api, command=command, **PLAIN)
        api.states[given["ti"]["id"]] = state
        text = msgspec.json.encode(given).decode()
        code, out, _ = await output(await worker(folder, "exec", "--json-string", text, "--api", url, "--json"))
        await api.stop()
        return code, json.loads(out.splitlines()[-1]), api

    return play(scenario())


def test_exec_reports_whatever_the_outcome_is_and_exits_0(tmp_path: Path) -> None:
    code, line, api = executed(tmp_path, ["sh", "-c", "exit 5"])
    assert code == 0
    assert list(line) == [
        "ti_id",
        "outcome",
        "kind",
        "exit",
        "signal",
        "reported",
        "undelivered",
        "wall_s",
        "cpu_s",
        "max_rss",
    ]
    assert (line["outcome"], line["kind"], line["exit"], line["signal"]) == ("failed", "app", 5, None)
    assert line["reported"]
    assert line["max_rss"] > 0
    assert api.states[line["ti_id"]] == "failed"


def test_exec_exits_3_when_the_server_refuses_the_start(tmp_path: Path) -> None:
    code, line, _ = executed(tmp_path, ["true"], state="running")
    assert (code, line["outcome"], line["reported"]) == (3, "not_started", False)


def test_the_log_of_one_that_the_server_refuses_is_not_sent(tmp_path: Path) -> None:
    """Its token is one to start with."""

    async def scenario() -> list[str]:
        api = MinimalApi()
        url = await api.start()
        given = workload(api, task_id="say.success")
        api.states[given["ti"]["id"]] = "running"
        text = msgspec.json.encode(given).decode()
        code, _, _ = await output(await worker(tmp_path, "exec", "--json-string", text, "--api", url))
        await api.stop()
        assert code == 3
        return [call.path for call in api.calls if call.path.endswith(("/log", "/remark"))]

    assert play(scenario()) == []


def test_exec_exits_4_when_the_server_gives_it_up(tmp_path: Path) -> None:
    def gone(call: Call) -> Answer | None:
        refusal = Answer(404, {"detail": {"reason": "not_found", "message": "gone"}})
        return refusal if call.path.endswith("/state") else None

    code, line, _ = executed(tmp_path, ["true"], gone)
    assert (code, line["outcome"]) == (4, "server_terminated")


def test_exec_exits_5_when_the_outcome_cannot_be_reported(tmp_path: Path) -> None:
    refused = on("state", Answer(403, {"detail": "Invalid auth token"}))
    code, line, _ = executed(tmp_path, ["true"], refused)
    assert (code, line["outcome"], line["reported"], line["undelivered"]) == (5, "success", False, True)


@pytest.mark.parametrize("arguments", [["--json-string", "{}"], [], ["--json-string", "x", "--json-path", "y"]])
def test_exec_exits_2_when_it_cannot_be_carried_out(tmp_path: Path, arguments: list[str]) -> None:
    async def scenario() -> tuple[int, str, str]:
        return await output(await worker(tmp_path, "exec", "--json", *arguments))

    code, out, err = play(scenario())
    said = json.loads(out)
    assert (code, said["ti_id"], said["outcome"], said["undelivered"]) == (2, None, None, False)
    assert said["error"] in err


async def owed_in(folder: Path) -> tuple[int, list[dict[str, Any]]]:
    code, out, _ = await output(await worker(folder, "outbox", "--json"))
    found: list[dict[str, Any]] = json.loads(out)["undelivered"]
    return code, found


def test_exec_ends_soon_when_nobody_answers_and_leaves_what_it_owes_to_the_next_worker(tmp_path: Path) -> None:
    """Its grace is 30 s; what it waits for a server that is away, when its process is gone, is `short_s`."""

    async def scenario() -> None:
        api = MinimalApi()
        url = await api.start()
        begun = tmp_path / "begun"
        os.mkfifo(begun)
        given = workload(api, command=["sh", "-c", f"echo >{begun}; exec sleep 1000"], **PLAIN)
        text, ti_id = msgspec.json.encode(given).decode(), given["ti"]["id"]
        home = tmp_path / "home"
        home.mkdir()
        process = await worker(home, "exec", "--json", "--json-string", text, "--api", url, TASKHAND_GRACES_SHORT_S="1")
        await asyncio.to_thread(begun.read_text)
        await api.stop()
        process.terminate()
        stopped = asyncio.get_running_loop().time()
        code, out, err = await output(process)
        took = asyncio.get_running_loop().time() - stopped
        (line,) = out.splitlines()
        said = json.loads(line)
        assert (code, said["ti_id"], said["outcome"]) == (5, ti_id, "up_for_reschedule"), err
        assert (said["reported"], said["undelivered"], said["signal"]) == (False, True, signal.SIGTERM)
        assert "(worker outbox)" in err
        measured(f"exec ended {took:.2f} s after SIGTERM, with a server that was away")
        assert took < 15.0
        code, owed = await owed_in(home)
        assert (code, [(each["ti_id"], each["state"]) for each in owed]) == (1, [(ti_id, "up_for_reschedule")])

        await api.start()
        successor = await worker(home, "run", "--api", url, **TOKEN)
        await api.until(lambda api: ti_id in api.ends)
        successor.terminate()
        assert (await output(successor))[0] == 0
        assert [end["state"] for end in api.ends[ti_id]] == ["up_for_reschedule"]
        assert await owed_in(home) == (0, [])
        assert not list((home / "journal" / "left").iterdir())
        await api.stop()

    play(scenario())


def test_exec_that_nobody_lets_begin_ends_soon_and_owes_nothing(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
        api = MinimalApi()
        url = await api.start()
        await api.stop()
        text = msgspec.json.encode(workload(api, command=["true"], **PLAIN)).decode()
        process = await worker(
            tmp_path, "exec", "--json", "--json-string", text, "--api", url, TASKHAND_GRACES_SHORT_S="1"
        )
        assert process.stderr is not None
        while b"nobody answers" not in await process.stderr.readline():
            pass
        process.terminate()
        code, out, _ = await output(process)
        return code, json.loads(out), (await owed_in(tmp_path))[1]

    code, said, owed = play(scenario())
    assert (code, said["outcome"], said["reported"], said["undelivered"], owed) == (5, "not_started", False, False, [])


def test_exec_that_is_stopped_while_it_starts_says_so(tmp_path: Path) -> None:
    """However early the signal comes, once it listens: here in the moment in which its keeper's folder is made."""

    async def scenario() -> tuple[int, dict[str, Any]]:
        api = MinimalApi()
        url = await api.start()
        slow = tmp_path / "slow.py"
        here, go = tmp_path / "here", tmp_path / "go"
        os.mkfifo(here)
        os.mkfifo(go)
        (tmp_path / "home").mkdir()
        slow.write_text(f"open({str(here)!r}, 'w').close()\nopen({str(go)!r}).close()\n")
        text = msgspec.json.encode(workload(api, command=["true"], **PLAIN)).decode()
        process = await worker(
            tmp_path / "home", "exec", "--json", "--json-string", text, "--api", url, TASKHAND_KEEPER_PRELOAD=str(slow)
        )
        await asyncio.to_thread(here.read_text)
        process.terminate()
        await asyncio.to_thread(go.write_text, "")
        code, out, _ = await output(process)
        await api.stop()
        return code, json.loads(out)

    code, said = play(scenario())
    assert (code, said["outcome"], said["undelivered"]) == (5, None, False)
    assert "stopped before it could begin" in said["error"]


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_the_child_of_an_exec_that_cannot_act_is_gone_before_its_lease_ends(tmp_path: Path, number: int) -> None:
    """Whatever it ignores: its keeper knows the tenure. Who is stopped wakes up late, and finds it gone."""
    lease_s = 3.0

    async def scenario() -> tuple[float, int]:
        api = MinimalApi()
        url = await api.start()
        pid = tmp_path / "pid"
        os.mkfifo(pid)
        script = f"trap '' TERM; echo $$ >{pid}; while :; do sleep 0.05; done"
        given = workload(api, command=["sh", "-c", script], **PLAIN) | {"lease": {"seconds": lease_s, "fence": 1}}
        text = msgspec.json.encode(given).decode()
        process = await worker(tmp_path, "exec", "--json-string", text, "--api", url, TASKHAND_LIMITS_HEARTBEAT_S="0.1")
        child = os.pidfd_open(int(await asyncio.to_thread(pid.read_text)))
        process.send_signal(number)
        stopped = asyncio.get_running_loop().time()
        await ended(child)
        took = asyncio.get_running_loop().time() - stopped
        if number == signal.SIGSTOP:
            process.send_signal(signal.SIGCONT)
        code, _, _ = await output(process)
        await api.stop()
        return took, code

    took, code = play(scenario())
    measured(f"{signal.Signals(number).name}: the child was gone after {took:.2f} s, with a lease of {lease_s:g} s")
    assert took < lease_s
    assert code == (0 if number == signal.SIGSTOP else -signal.SIGKILL)


def test_exec_takes_a_file_too(tmp_path: Path) -> None:
    async def scenario() -> int:
        api = MinimalApi()
        url = await api.start()
        file = tmp_path / "w.json"
        file.write_bytes(msgspec.json.encode(workload(api, task_id="say.success")))
        code, _, _ = await output(await worker(tmp_path, "exec", "--json-path", str(file), "--api", url))
        await api.stop()
        return code

    assert play(scenario()) == 0


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
