"""The commands that go on while one looks: `top`, and `submit --wait` in a terminal; and what a shell completes."""

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from tests.server.http.live import Live, serving

pytestmark = pytest.mark.slow

FLOW = """
from runner import flow, task

@task(queue="{name}")
def one() -> None: ...

@flow
def {name}():
    one()
"""
PATIENCE_S = 40


def around(server: Live, **env: str) -> dict[str, str]:
    return {**os.environ, "TASKHAND_HOME": str(server.home), "TERM": "xterm-256color", "COLUMNS": "200"} | env


def worker(server: Live, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "supervisor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=around(server, **env), timeout=50, check=False)


class Screen:
    """A process in a terminal of its own, and what it has drawn there by now."""

    def __init__(self, process: "subprocess.Popen[bytes]", terminal: int) -> None:
        self.process, self.shown = process, b""
        self._terminal = terminal

    def until(self, word: str) -> None:
        while word.encode() not in self.shown:
            assert select.select([self._terminal], [], [], PATIENCE_S)[0], self.shown
            self.shown += os.read(self._terminal, 65536)


@contextmanager
def screen(server: Live, *arguments: str, stream: str = "stdout") -> Iterator[Screen]:
    ours, theirs = pty.openpty()
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | {stream: theirs}
    command = [sys.executable, "-m", "supervisor", *arguments]
    with subprocess.Popen(command, env=around(server), **streams) as process:  # type: ignore[call-overload]  # a dict
        os.close(theirs)
        try:
            yield Screen(process, ours)
        finally:
            process.kill()
            os.close(ours)


def test_top_in_a_pipe_is_lines_of_runs_and_tasks(server: Live) -> None:
    running = server.attempt({"task_id": "a"}, {"task_id": "b", "upstreams": ["a"]})
    flow, run = running.ti["dag_id"], running.ti["run_id"]
    done = worker(server, "top", "--limit", "1000")
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert ["run", f"{flow}/{run}", "running", "0/2", "running=1 scheduled=1"] in lines
    mine = [line for line in lines if line[0] == "task" and line[1].startswith(f"{flow}/")]
    assert [line[1:4] for line in mine] == [[f"{flow}/{run}/a", "running", "1"], [f"{flow}/{run}/b", "scheduled", "1"]]
    running.end("failed")


def test_top_as_json_is_one_object(server: Live) -> None:
    running = server.attempt({"task_id": "a"})
    seen = msgspec.json.decode(worker(server, "top", "--json").stdout)
    assert running.id in {each["id"] for each in seen["instances"]}
    assert seen["counts"]["running"] >= 1
    assert running.ti["dag_id"] in {each["dag_id"] for each in seen["runs"]}
    running.end("failed")


def test_a_live_top_outlasts_its_server_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serving(home) as first:
        port = first.url.rpartition(":")[2]
        running = first.attempt({"task_id": "a"})
        with screen(first, "top", "--every", "0.1") as top:
            top.until(f"…{running.ti['run_id'][-18:]}/a")
            top.until("1 running")
            first.process.terminate()
            top.until("trying again")
            with serving(home, "--port", port) as second:
                top.shown = b""
                second.attempt({"task_id": "b"})
                top.until("2 running")
                top.process.send_signal(signal.SIGINT)
                assert top.process.wait(PATIENCE_S) == 0


def test_logs_and_stories_are_made_readable_in_a_terminal(server: Live) -> None:
    attempt = server.attempt({"task_id": "a"})
    line = b'{"timestamp": "2026-01-02T03:04:05.678901Z", "level": "warning", "event": "it is late", "by": 3}\n'
    attempt.own("PUT", "log?offset=0", content=line)
    with screen(server, "logs", "-f", attempt.id) as followed:
        followed.until("03:04:05.678")
        followed.until("\x1b[33mwarning")
        followed.until("by=3")
        attempt.end("failed")
        assert followed.process.wait(PATIENCE_S) == 0
    with screen(server, "why", attempt.id) as told:
        told.until("\x1b[31mfailed")
        told.until("told_failed")


def flow_in(folder: Path) -> Path:
    file = folder / f"f{uuid4().hex}.py"
    file.write_text(FLOW.replace("{name}", file.stem))
    return file


def test_who_waits_in_a_terminal_sees_how_far_the_run_is(server: Live, tmp_path: Path) -> None:
    file = flow_in(tmp_path)
    with screen(server, "submit", str(file), "--wait", stream="stderr") as waiting:
        waiting.until("0/1")
        attempt = server.claim(file.stem)[0]
        attempt.run()
        waiting.until("running=1")
        attempt.end("failed")
        waiting.until(f"`worker why {file.stem}/")
        assert waiting.process.wait(PATIENCE_S) == 1


def test_who_waits_no_longer_is_told_that_the_run_goes_on(server: Live, tmp_path: Path) -> None:
    file = flow_in(tmp_path)
    with screen(server, "submit", str(file), "--wait", stream="stderr") as waiting:
        waiting.until("0/1")
        waiting.process.send_signal(signal.SIGINT)
        waiting.until("the run goes on")
        assert waiting.process.wait(PATIENCE_S) == 130


def test_who_waits_in_a_pipe_sees_nothing_but_the_end(server: Live, tmp_path: Path) -> None:
    file = flow_in(tmp_path)
    command = [sys.executable, "-m", "supervisor", "submit", str(file), "--wait"]
    with subprocess.Popen(command, env=around(server), stdout=-1, stderr=-1, text=True) as waiting:
        attempt = server.claim(file.stem)[0]
        attempt.run()
        attempt.end("success")
        out, err = waiting.communicate(timeout=PATIENCE_S)
    assert out.splitlines()[-1].endswith(" success")
    assert (waiting.returncode, len(err.splitlines())) == (0, 1)


@pytest.fixture
def complete(server: Live) -> Callable[..., list[str]]:
    def ask(line: str, **env: str) -> list[str]:
        asked = {"_WORKER_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        command = [sys.executable, "-c", "from supervisor.cli import main; main(prog_name='worker')"]
        done = subprocess.run(
            command, capture_output=True, text=True, env=around(server, **asked, **env), timeout=50, check=False
        )
        return [word.partition(",")[2] for word in done.stdout.splitlines() if word]

    return ask


def test_a_shell_completes_commands_flags_and_names(server: Live, complete: Callable[..., list[str]]) -> None:
    running = server.attempt({"task_id": "a"})
    flow, run = running.ti["dag_id"], running.ti["run_id"]
    assert complete("worker su") == ["submit"]
    assert complete("worker top --o") == ["--once"]
    assert complete(f"worker why {flow}") == [f"{flow}/{run}/a"]
    running.end("failed")


def test_without_a_server_there_is_nothing_to_complete_with(tmp_path: Path, complete: Callable[..., list[str]]) -> None:
    assert complete("worker why x", TASKHAND_HOME=str(tmp_path)) == []
