"""The commands of people, as real processes against a real server."""

import os
import pty
import subprocess
import sys
import textwrap
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import msgspec
import pytest

from tests.server.http.live import BEAT, WHEN, Attempt, Live

FLOW = """
from runner import flow, task

@task(queue="{name}", retries=1, retry_delay=0)
def extract(n: int) -> list[int]: ...

@task(queue="{name}")
def train(row): ...

@flow
def {name}(n: int = 2):
    train.map(extract(n))
"""


@pytest.fixture
def worker(server: Live) -> Any:
    def runs(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        around = {**os.environ, "TASKHAND_HOME": str(server.home), **env}
        command = [sys.executable, "-m", "supervisor", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=around, timeout=50, check=False)

    return runs


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    """A flow and a queue of this test's own, both called like the file."""
    file = tmp_path / f"f{uuid4().hex}.py"
    file.write_text(textwrap.dedent(FLOW.replace("{name}", file.stem)))
    return file


def claimed(server: Live, flow: Path) -> Attempt:
    attempt = server.claim(flow.stem, 1)[0]
    attempt.run()
    return attempt


def rows(result: "subprocess.CompletedProcess[str]") -> list[list[str]]:
    assert result.returncode == 0, result.stderr
    return [line.split("\t") for line in result.stdout.splitlines()]


def test_a_flow_from_file_to_its_end(server: Live, worker: Any, flow: Path) -> None:
    submitted = worker("submit", str(flow), "--param", "n=1", "--json")
    run = msgspec.json.decode(submitted.stdout)
    named = f"{run['dag_id']}/{run['run_id']}"
    attempt = claimed(server, flow)
    listed = rows(worker("ps", "--flow", run["dag_id"]))
    assert [row[:3] for row in listed] == [[f"{named}/extract", "running", "1"], [f"{named}/train", "scheduled", "1"]]
    assert rows(worker("ps", "--runs", "--flow", run["dag_id"]))[0][:2] == [named, "running"]
    attempt.own("PUT", "log?offset=0", content=b'{"event": "hello", "level": "info"}\nbye')
    for name in (attempt.id, attempt.id[:23], f"{named}/extract", f"{run['dag_id']}/extract"):
        assert attempt.own("PUT", "heartbeat", json=BEAT).status_code == 204  # its lease is not as long as ten commands
        assert worker("logs", name).stdout == '{"event": "hello", "level": "info"}\nbye\n'
    assert attempt.own("PUT", "heartbeat", json=BEAT).status_code == 204
    story = worker("why", f"{named}/extract").stdout
    assert story.startswith(f"{named}/extract running\n")
    assert attempt.id in story
    assert msgspec.json.decode(worker("why", attempt.id, "--json").stdout)["instance"]["id"] == attempt.id
    waiting = subprocess.Popen(
        [sys.executable, "-m", "supervisor", "submit", str(flow), "--run-id", "waited", "--wait", "--json"],
        stdout=subprocess.PIPE,
        env={**os.environ, "TASKHAND_HOME": str(server.home)},
    )
    attempt.end("failed")
    claimed(server, flow).end("failed")
    assert msgspec.json.decode(waiting.communicate(timeout=30)[0])["state"] == "failed"
    assert waiting.returncode == 1
    assert worker("ps", "--flow", run["dag_id"], "--state", "upstream_failed", "--run", "waited").stdout


def test_people_act(server: Live, worker: Any, flow: Path) -> None:
    run = worker("submit", str(flow)).stdout.strip()
    ti = f"{run}/extract"
    first = claimed(server, flow)
    assert rows(worker("kill", ti, "--reason", "it hangs")) == [[f"{ti} failed"]]
    dag_id, _, run_id = run.partition("/")
    server.people("GET", f"/flows/{dag_id}/runs/{quote(run_id)}", params={"wait_s": 20})
    cleared = rows(worker("clear", ti, "--keep-checkpoint", "--downstream"))
    assert cleared == [[f"{ti} restarting"], [f"{run}/train scheduled"]]
    assert first.end("server_terminated").status_code == 204
    second = claimed(server, flow)
    assert second.id != first.id
    assert first.id in worker("why", first.id[:30]).stdout
    assert msgspec.json.decode(worker("mark", ti, "success", "--json").stdout)["instances"][0]["state"] == "success"
    refused = worker("resume", ti)
    assert (refused.returncode, f"(409); `worker why {ti}` says how" in refused.stderr) == (2, True)
    again = worker("submit", str(flow), "--run-id", run_id)
    assert (again.returncode, "another --run-id" in again.stderr) == (2, True)
    assert worker("ps", "--server", f"{server.url}/execution").returncode == 0


def test_a_log_is_followed_to_its_end(server: Live, worker: Any, flow: Path) -> None:
    worker("submit", str(flow))
    attempt = claimed(server, flow)
    attempt.own("PUT", "log?offset=0", content=b"one\n")
    heard: list[str] = []
    reader = Thread(target=lambda: heard.append(worker("logs", "-f", attempt.id).stdout))
    reader.start()
    attempt.own("PUT", "log?offset=4", content=b"two\n")
    attempt.end("failed", end_date=WHEN)
    reader.join(40)
    assert heard == ["one\ntwo\n"]


def test_the_log_of_what_waits_for_its_next_try_is_that_of_the_last(server: Live, worker: Any, flow: Path) -> None:
    ti = f"{worker('submit', str(flow)).stdout.strip()}/extract"
    waits = worker("logs", ti)
    assert (waits.returncode, waits.stdout) == (0, "")
    assert "try 1 has not begun, it is queued\n" in waits.stderr
    first = claimed(server, flow)
    first.own("PUT", "log?offset=0", content=b"a traceback\n")
    first.end("up_for_retry", end_date=WHEN, retry_delay_seconds=100.0)
    again = worker("logs", ti)
    assert again.stdout == "a traceback\n"
    assert f"this is the log of try 1, {first.id}" in again.stderr


def test_why_says_saves_in_a_row_once(server: Live, worker: Any, flow: Path) -> None:
    ti = f"{worker('submit', str(flow)).stdout.strip()}/extract"
    attempt = claimed(server, flow)
    for number in range(5):
        attempt.own("PUT", "checkpoint", json={"data": number, "progress": number})
    saves = [row for row in rows(worker("why", ti)) if "checkpoint" in row]
    assert [row[3:] for row in saves] == [["records 1 to 5", "seq=5 progress=4.0"]]
    whole = worker("why", ti, "--json")
    events = msgspec.json.decode(whole.stdout)["events"]
    assert (len(events) > len(saves) + 4, whole.stderr) == (True, "")
    last = worker("why", ti, "--json", "--limit", "3")
    assert msgspec.json.decode(last.stdout)["events"] == events[-3:]
    assert last.stderr == f"these are 3 of {len(events)} events; --offset 3 gives older ones\n"
    older = worker("why", ti, "--json", "--offset", "3")
    assert msgspec.json.decode(older.stdout)["events"] == events[:-3]
    assert older.stderr == f"these are 0 of 1 attempts and {len(events) - 3} of {len(events)} events\n"


def test_why_says_which_queue_it_waits_in_and_who_asks_there(server: Live, worker: Any, flow: Path) -> None:
    ti = f"{worker('submit', str(flow)).stdout.strip()}/extract"
    nobody = f"it waits in queue {flow.stem!r}: no worker has asked this server for work of it"
    assert nobody in worker("why", ti).stdout
    server.claim(flow.stem)
    assert worker("why", ti).stdout.splitlines()[0] == f"{ti} queued"
    assert "it waits" not in worker("why", ti).stdout
    second = f"{worker('submit', str(flow)).stdout.strip()}/extract"
    assert f"it waits in queue {flow.stem!r}: a worker last asked for work of it at 2" in worker("why", second).stdout


def test_in_a_terminal_there_is_a_table(server: Live, worker: Any, flow: Path) -> None:
    run = worker("submit", str(flow)).stdout.strip()
    claimed(server, flow).end("failed")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "supervisor", "ps", "--flow", run.partition("/")[0]],
        stdout=theirs,
        env={**os.environ, "TASKHAND_HOME": str(server.home), "TERM": "xterm-256color", "COLUMNS": "200"},
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # how a terminal says that the other end is gone
        pass
    os.close(ours)
    assert process.wait(20) == 0
    assert b"TASK " in shown
    assert shown.count(run.encode()) == 1
    assert b"\x1b[31mfailed" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["submit", "absent.py"], "there is no such file"),
        (["submit", "{flow}:other"], "there is no flow 'other'"),
        (["submit", "{flow}", "--param", "n"], "not of the form K=V"),
        (["submit", "{flow}", "--param", "m=1"], "unexpected keyword argument 'm'"),
        (["submit", "{flow}", "--conf", "[]"], "--conf is no JSON object"),
        (["ps", "--state", "lost"], "there is no state 'lost'"),
        (["why", "no/no/no"], "there is no task instance no/no/no; `worker ps --flow no` lists"),
        (["why", "no/no"], "flow 'no' has no run; `worker ps --runs` lists"),
        (["logs", "what?"], "names no task instance"),
        (["kill", "ffffffff"], "no attempt has an id that begins with"),
        (["clear", "01890000-0000-7000-8000-000000000000"], "(404)"),
        (["ps", "--server", "http://127.0.0.1:9"], "Start a server with `worker server`"),
        (["submit", "{flow}", "--param", "m=1"], "got an unexpected keyword argument 'm'"),
        (["ps", "--token", "x"], "Invalid auth token (403). Say --token"),
    ],
)
def test_what_cannot_be_done_is_said_and_is_exit_2(worker: Any, flow: Path, arguments: list[str], said: str) -> None:
    result = worker(*(argument.format(flow=flow) for argument in arguments))
    assert (result.returncode, said in result.stderr, "Traceback" in result.stderr) == (2, True, False), result.stderr


def test_a_place_that_is_none_is_said_in_words(worker: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    result = worker("server", "--port", "0", "--home", str(file / "sub"))
    assert (result.returncode, result.stderr) == (2, f"Error: {file / 'sub'}: Not a directory\n")


def test_without_a_token_it_says_where_it_looked(worker: Any, tmp_path: Path) -> None:
    result = worker("ps", TASKHAND_HOME=str(tmp_path))
    assert (result.returncode, str(tmp_path / "user-token") in result.stderr) == (2, True)
    assert "worker server" in result.stderr


def test_the_environment_names_server_and_token(server: Live, worker: Any, tmp_path: Path) -> None:
    token = (server.home / "user-token").read_text()
    result = worker("ps", "--limit", "1", TASKHAND_HOME=str(tmp_path), TASKHAND_SERVER=server.url, TASKHAND_TOKEN=token)
    assert result.returncode == 0, result.stderr


def test_of_many_mapped_ones_one_is_chosen(server: Live, worker: Any, flow: Path) -> None:
    run = worker("submit", str(flow)).stdout.strip()
    attempt = claimed(server, flow)
    attempt.ask("POST", attempt.xcom(), json=[1, 2], params={"mapped_length": 2})
    attempt.end("success")
    server.claim(flow.stem, 2)
    ambiguous = worker("why", f"{run}/train")
    assert (ambiguous.returncode, "add [0] or another index" in ambiguous.stderr) == (2, True)
    assert worker("why", f"{run}/train[1]").stdout.startswith(f"{run}/train[1] queued")
