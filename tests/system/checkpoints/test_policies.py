"""Proof 4: when a record cannot be resumed from, what happens is what the policy says, and the timeline says why."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.system.checkpoints.worlds import World, world

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).with_name("policies.py")


def told(place: World, task: str) -> list[str]:
    lines = (place.folder / "told").read_text().splitlines()
    return [line.partition(" ")[2] for line in lines if line.startswith(f"{task} ")]


def whys(place: World, task: str, *what: str) -> list[str]:
    return [event["why"] for event in place.story(task) if event["what"] in what]


def submit(place: World, task: str, conf: dict[str, Any] | None = None, **spec: Any) -> Path:
    file = place.folder / "policies.py"
    file.write_text(SOURCE.read_text())
    place.submit({"task_id": task, "retry_delay_s": 0.0, **spec}, file=file, conf=conf)
    return file


def test_a_record_that_breaks_its_reader_is_passed_over(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        submit(place, "poisoned", retries=5, resume_limit=1)
        place.machine()
        assert place.end() == "success"
        assert told(place, "poisoned") == ["0", "1", "0"]
        assert whys(place, "poisoned", "fresh_start") == ["a fresh start: resuming from the records made no progress"]


@pytest.mark.parametrize("policy", ["fresh", "hold"])
def test_changed_code_is_not_resumed_silently(tmp_path: Path, policy: str) -> None:
    with world(tmp_path) as place:
        file = submit(place, "changed", on_change=policy)
        machine = place.machine()
        assert place.work.until(1)
        assert machine.stop() == 0
        place.until("changed", "checkpointed", "queued")
        file.write_text(SOURCE.read_text().replace("CODE", "OTHER"))
        place.machine()
        if policy == "hold":
            while not whys(place, "changed", "held_for_change"):
                place.work.read(0.02)
            held = place.until("changed", "checkpointed")
            assert held["due"] is None
            assert place.live.people("POST", f"/task-instances/{held['id']}/resume").status_code == 200
        assert place.end() == "success"
        assert told(place, "changed") == (["0", "1"] if policy == "hold" else ["0", "0"])
        what, words = ("held_for_change", "it is to be held") if policy == "hold" else ("fresh_start", "a fresh start")
        assert whys(place, "changed", what) == [f"{words}: the code changed since record 1 was written"]


FED = {"upstreams": ["given"], "args": [{"kind": "xcom", "name": "what", "task_id": "given"}], "queue": "later"}


@pytest.mark.parametrize("policy", ["fresh", "hold"])
def test_changed_inputs_are_not_resumed_silently(tmp_path: Path, policy: str) -> None:
    """What it is fed with is computed again, to something else, while it is stopped."""
    with world(tmp_path) as place:
        (tmp_path / "input").write_text("one")
        file = tmp_path / "policies.py"
        file.write_text(SOURCE.read_text())
        place.submit({"task_id": "given"}, {"task_id": "fed", "on_change": policy, **FED}, file=file)
        machine = place.machine("--queues", "default,later")
        assert place.work.until(1)
        assert machine.stop() == 0
        place.until("fed", "checkpointed", "queued")
        (tmp_path / "input").write_text("two")
        again = place.live.people("POST", f"/task-instances/{place.instance('given')['id']}/clear", json={})
        assert again.status_code == 200
        machine = place.machine("--queues", "default")
        place.until("given", "success")
        assert machine.stop() == 0
        place.machine("--queues", "default,later")
        if policy == "hold":
            while not whys(place, "fed", "held_for_change"):
                place.work.read(0.02)
            held = place.until("fed", "checkpointed")
            assert held["due"] is None
            assert place.live.people("POST", f"/task-instances/{held['id']}/resume").status_code == 200
        assert place.end() == "success"
        assert told(place, "fed") == ["one None", "two one" if policy == "hold" else "two None"]
        what, words = ("held_for_change", "it is to be held") if policy == "hold" else ("fresh_start", "a fresh start")
        assert whys(place, "fed", what) == [f"{words}: the inputs changed since record 1 was written"]


@pytest.mark.parametrize("lost", [1, 2])
def test_a_file_that_was_spoilt_leads_to_the_one_before_and_then_to_the_beginning(tmp_path: Path, lost: int) -> None:
    with world(tmp_path) as place:
        submit(place, "filed", conf={"stop_at": 2}, grace_s=1.0)
        machine = place.machine()
        assert place.work.until(2)
        files = sorted(
            (tmp_path / "state" / "blobs" / "f" / "r" / "filed" / "-1").iterdir(), key=lambda f: f.stat().st_mtime_ns
        )
        assert len(files) == 2  # the third save has let go of the first
        assert machine.stop() == 0
        for number in range(lost):
            files[-1 - number].write_bytes(b"spoilt") if number == 0 else files[-1 - number].unlink()
        place.machine()
        assert place.end() == "success"
        assert told(place, "filed")[2:] == [["2 step 2"], ["0 None"]][lost - 1]
        passed = whys(place, "filed", "record_passed_over")
        assert len(passed) == lost
        assert "is not what was saved" in passed[0]


def test_a_full_disk_leaves_the_record_that_stood(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        submit(place, "full", retries=1)
        place.machine()
        assert place.end() == "success"
        assert told(place, "full") == ["0", "1"]
        assert place.instance("full")["try_number"] == 2


# --- proof 5: a stop never ends as success unless the task finished and said so ---------------------------------------


def test_a_handler_that_returns_and_a_task_that_goes_on_is_no_success(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        submit(place, "deaf", conf={"goes_on": True}, grace_s=0.3)
        machine = place.machine()
        assert place.work.until(1)
        assert machine.stop() == 0
        found = place.until("deaf", "up_for_reschedule", "queued", "scheduled")
        assert found["try_number"] == 1
        assert "told_success" not in [event["what"] for event in place.story("deaf")]
        [why] = whys(place, "deaf", "told_reschedule")
        assert why.startswith("it was stopped (drain) before it was done; ")


def test_a_program_that_takes_sigterm_for_its_end_and_exits_0_is_no_success(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        script = 'trap "exit 0" TERM; printf . >"$WORK"; sleep 100 & wait'
        place.submit({"task_id": "shell", "runtime": "plain", "command": ["sh", "-c", script]})
        machine = place.machine()
        assert place.work.until(1)
        assert machine.stop() == 0
        place.until("shell", "up_for_reschedule", "queued", "scheduled")
        assert "told_success" not in [event["what"] for event in place.story("shell")]


# --- time-outs --------------------------------------------------------------------------------------------------------


def test_a_time_out_is_held_also_when_the_task_heard_of_it_from_its_save(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        submit(place, "hasty", timeout_s=0.5)
        place.machine()
        assert place.until("hasty", "checkpointed")["due"] is None
        assert whys(place, "hasty", "told_checkpointed") == ["it got on; held, because the stop was a timeout"]


def test_a_task_that_never_asks_anything_is_held_to_its_progress(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        submit(place, "mute", progress_timeout_s=0.3)
        place.machine()
        place.until("mute", "failed")
        [why] = whys(place, "mute", "told_failed")
        assert why.startswith("the time between two signs of progress of 0.3 s is over")


# --- plain programs ---------------------------------------------------------------------------------------------------

MOVES = """
dir=$TASKHAND_CHECKPOINT_DIR
if [ -f "$dir/good" ]; then [ "$(ls -A "$dir")" = good ] && exit 0; exit 1; fi
echo half >"$dir/bad.tmp"; echo half >"$dir/.bad"; echo 7 >"$dir/good"; exit 85
"""


def test_a_checkpoint_directory_moves_to_another_machine_without_what_is_half_written(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        blobs = {"TASKHAND_CHECKPOINTS_BLOBS": str(tmp_path / "shared")}
        place.submit({"task_id": "t", "runtime": "plain", "command": ["sh", "-c", MOVES], "resume": "manual"})
        machine = place.machine(home=tmp_path / "one", **blobs)
        held = place.until("t", "checkpointed")
        assert machine.stop() == 0
        place.machine(home=tmp_path / "two", **blobs)
        assert place.live.people("POST", f"/task-instances/{held['id']}/resume").status_code == 200
        assert place.end() == "success"
        assert list((tmp_path / "one" / "checkpoints").rglob("good")) == []


# --- notices ----------------------------------------------------------------------------------------------------------


def test_a_machine_that_is_said_to_end_stops_its_attempts_in_time(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        notice = tmp_path / "ends"
        submit(place, "filed", conf={"stop_at": 3}, grace_s=1.0)
        machine = place.machine(TASKHAND_CHECKPOINTS_NOTICE=str(notice), TASKHAND_CHECKPOINTS_NOTICE_EVERY_S="0.05")
        assert place.work.until(2)
        notice.write_text((datetime.now(UTC) + timedelta(seconds=6)).isoformat())
        assert machine.process.wait(20) == 0
        place.until("filed", "checkpointed", "queued")
        assert any(event["detail"] == {"stop": "evict", "resume_from": "latest"} for event in place.story("filed"))


SLOW = """
trap 'sleep 3; echo 2 >"$TASKHAND_CHECKPOINT_DIR/progress"; exit 85' TERM
echo 1 >"$TASKHAND_CHECKPOINT_DIR/progress"; printf . >"$WORK"; sleep 100 & wait
"""


def test_who_knows_the_end_early_gives_a_task_more_than_the_nested_grace(tmp_path: Path) -> None:
    """The nested grace is a second here; what the task needs is known, and asked for in time."""
    with world(tmp_path) as place:
        notice = tmp_path / "ends"
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "checkpoint-times.json").write_text('{"f/t": 3.0}')
        place.submit({"task_id": "t", "runtime": "plain", "command": ["sh", "-c", SLOW]})
        machine = place.machine(
            TASKHAND_CHECKPOINTS_NOTICE=str(notice),
            TASKHAND_CHECKPOINTS_NOTICE_EVERY_S="0.05",
            TASKHAND_GRACES_POD_S="3",
            TASKHAND_GRACES_WORKER_MARGIN_S="1",
            TASKHAND_GRACES_TASK_MARGIN_S="1",
        )
        assert place.work.until(1)
        notice.write_text((datetime.now(UTC) + timedelta(seconds=9)).isoformat())
        assert machine.process.wait(20) == 0
        saved = [event["detail"]["progress"] for event in place.story("t") if event["what"] == "checkpoint"]
        assert saved == [1.0, 2.0]


def test_a_grace_that_is_too_short_is_said_in_the_timeline(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        submit(place, "filed", conf={"stop_at": 3}, grace_s=1.0)
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "checkpoint-times.json").write_text('{"f/filed": 10.0}')
        machine = place.machine()
        assert place.work.until(2)
        assert machine.stop() == 0
        assert whys(place, "filed", "remark") == [
            "the stop may be too short: its checkpoints take 10.0 s, and a stop leaves it 1.0 s: it may be too late"
        ]
