"""`worker exec`, as a process: what it says and leaves, however it ends."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.minimal_api import Answer, Call, MinimalApi
from tests.system.test_commands import PLAIN, TOKEN, output, worker, workload
from tests.system.test_up import ended
from tests.system.world import measured, on, play

pytestmark = pytest.mark.slow


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
        clock = asyncio.get_running_loop().time
        started = clock()
        process = await worker(home, "exec", "--json", "--json-string", text, "--api", url, TASKHAND_GRACES_SHORT_S="1")
        await asyncio.to_thread(begun.read_text)
        await api.stop()
        process.terminate()
        stopped = clock()
        code, out, err = await output(process)
        took, whole = clock() - stopped, clock() - started
        (line,) = out.splitlines()
        said = json.loads(line)
        assert (code, said["ti_id"], said["outcome"]) == (5, ti_id, "up_for_reschedule"), err
        assert (said["reported"], said["undelivered"], said["signal"]) == (False, True, signal.SIGTERM)
        assert said["wall_s"] < whole - 1.0  # what it waited for the server is none of the attempt's time
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
