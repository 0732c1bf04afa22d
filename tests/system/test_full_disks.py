"""A disk that is full: what is lost is counted and said where people look, and no outcome is among it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.records import Record
from tests.architecture.layout import ROOT
from tests.system.checkpoints.worlds import World, world
from tests.system.disks import fill, fill_but, mounts, small_disk
from tests.system.world import play, stage

pytestmark = [pytest.mark.slow, mounts]

PRINTS = "yes 'a line that finds no room' | head -n 3000; exit {code}"


def test_attempts_whose_logs_find_no_room_are_told_right_and_their_timeline_says_what_is_missing(
    tmp_path: Path,
) -> None:
    async def scenario(disk: Path) -> tuple[list[tuple[Record, list[str], list[str]]], list[str]]:
        async with stage(tmp_path, {"worker.log_dir": str(disk)}) as found:
            works = [
                found.workload("say.success"),
                found.workload("silent.exit5"),
                *(found.workload("t", "plain", command=["sh", "-c", PRINTS.format(code=code)]) for code in (0, 3)),
            ]
            fill(disk)
            records = await asyncio.gather(*(found.attempt(each).run() for each in works))
            remarks = [found.api.remarks.get(str(record.ti_id), []) for record in records]
            return [(record, found.told(record), said) for record, said in zip(records, remarks, strict=True)], (
                found.warnings
            )

    with small_disk(tmp_path / "disk", "64k") as disk:
        results, warnings = play(scenario(disk))
    assert [told for _, told, _ in results] == [["success"], ["failed"], ["success"], ["failed"]]
    assert all(record.reported for record, _, _ in results)
    for record, _, remarks in results[2:]:
        (said,) = remarks
        assert said.startswith("its log is not whole: 300")  # the lines it printed, and ours
        assert said.endswith("lines could not be written: No space left on device")
        assert record.log_bytes == 3000 * 26
    assert any("cannot be written: No space left on device" in warning for warning in warnings)


def test_a_server_that_is_to_start_on_a_full_disk_says_what_to_do(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        disk.chmod(0o700)
        fill(disk)
        environ = {**os.environ, "TASKHAND_HOME": str(disk)}
        command = [sys.executable, "-m", "supervisor", "server", "--port", "0"]
        done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "No space left on device; the state directory has its database and its tokens: make room" in done.stderr
    assert "Traceback" not in done.stderr


# --- checkpoints ------------------------------------------------------------------------------------------------------

FLOW = """
import os
from pathlib import Path
from runner import Context, flow, task

def worked() -> None:
    with open(os.environ["WORK"], "w") as work:
        work.write(".")

@task
def grows(ctx: Context) -> str:
    if ctx.checkpoint:
        return ctx.checkpoint.blob.read_text()
    Path("small").write_text("small")
    ctx.save({"step": 1}, progress=1, blob="small")
    Path("large").write_bytes(b"x" * 2_000_000)
    ctx.save({"step": 2}, progress=2, blob="large")
    return "not reached"

@task
def counts(ctx: Context) -> int:
    step = ctx.checkpoint.get("step", 0)
    while step < 60:
        step += 1
        ctx.save({"step": step, "ballast": "x" * 20_000}, progress=step)
        worked()
    return step

@flow
def f() -> None:
    grows()
    counts()
"""
MOVES = """
dir=$TASKHAND_CHECKPOINT_DIR
if [ -f "$dir/large" ]; then [ "$(cat "$dir/progress")" = 2 ] && exit 0; exit 1; fi
echo 1 >"$dir/progress"; printf . >"$WORK"; read -r go <"$GO"
head -c 2000000 /dev/zero >"$dir/large.tmp"; mv "$dir/large.tmp" "$dir/large"
echo 2 >"$dir/progress.tmp"; mv "$dir/progress.tmp" "$dir/progress"; exit 85
"""


def submit(place: World, **task: object) -> None:
    file = place.folder / "flow.py"
    file.write_text(FLOW)
    place.submit({"retry_delay_s": 0.0, **task}, file=file)


def remarks(place: World, task: str) -> list[str]:
    return [event["why"] for event in place.story(task) if event["what"] == "remark"]


def test_a_file_that_finds_no_room_fails_its_try_and_the_next_has_the_record_that_stood(tmp_path: Path) -> None:
    with small_disk(tmp_path / "blobs", "1m") as disk, world(tmp_path) as place:
        submit(place, task_id="grows", retries=1)
        place.machine(TASKHAND_CHECKPOINTS_BLOBS=str(disk))
        assert place.end() == "success"
        story = place.story("grows")
        assert [event["why"] for event in story if event["what"] == "told_retry"] != []
        assert [event["detail"] for event in story if event["what"] == "resumes_from"] == [{"seq": 1}]
        (kept,) = (path for path in disk.rglob("*") if path.is_file())  # and nothing half-written beside it
        assert kept.read_text() == "small"
        (log,) = (tmp_path / "state" / "worker-logs").rglob("1-*.jsonl")
        assert "No space left on device" in log.read_text()


def test_a_directory_that_cannot_be_kept_is_said_and_left_to_the_next_attempt(tmp_path: Path) -> None:
    with small_disk(tmp_path / "blobs", "1m") as disk, world(tmp_path) as place:
        go = tmp_path / "go"
        os.mkfifo(go)
        script = f"GO={go}; {MOVES}"
        place.submit({"task_id": "t", "runtime": "plain", "command": ["sh", "-c", script]})
        machine = place.machine(TASKHAND_CHECKPOINTS_BLOBS=str(disk), TASKHAND_CHECKPOINTS_EVERY_S="0.05")
        while not any(event["what"] == "checkpoint" for event in place.story("t")):
            place.work.read(0.02)
        go.write_text("go\n")
        assert place.end() == "success"
        assert machine.stop() == 0
        assert place.instance("t")["try_number"] == 1
        said = [each for each in remarks(place, "t") if "directory could not be kept" in each]
        assert [each for each in said if f"{disk}: No space left on device; make room on that disk" in each], said
        assert [*(tmp_path / "state" / "checkpoints").rglob("large")] == []


def test_a_server_without_room_is_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    """Its database refuses to write: an outage like any other, as far as the task is concerned."""
    with small_disk(tmp_path / "home", "32m") as disk, world(tmp_path, lease_s=30.0) as place:
        ballast = fill_but(disk, 600_000)
        submit(place, task_id="counts")
        place.machine()
        while place.work.until(place.work.done + 1, 1.5):
            pass
        acknowledged = place.work.done
        assert 0 < acknowledged < 60
        graph = {"dag_id": "large", "tasks": [{"task_id": "t"}], "description": "x" * 800_000}
        refused = place.live.people("POST", "/flows/large/runs", json={"graph": graph})
        assert (refused.status_code, refused.json()["detail"]["message"]) == (503, "the server's database is full")
        ballast.unlink()
        assert place.end() == "success"
        place.work.until(60, 1.0)
        assert place.work.done == 60
        assert place.instance("counts")["try_number"] == 1
