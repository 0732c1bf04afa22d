"""Memory that runs out: the kernel kills a child and says so, or the worker has one yield before it comes to that."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.keeper.cgroups import own_group
from supervisor.outcome import FailureKind, Outcome
from tests.system.checkpoints.worlds import world
from tests.system.world import play, stage

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
RETRY = {"context": {"should_retry": True, "max_tries": 2}}
EATS = "echo 0 >{group}/cgroup.procs && exec {python} -c 'b\"x\" * 200_000_000'"


@pytest.fixture
def small() -> Iterator[Path]:
    """A control group, of either version, in which a process gets 30 MiB."""
    own, first = own_group(), Path("/sys/fs/cgroup/memory")
    for parent, file in ((first, "memory.limit_in_bytes"), (own, "memory.max")):
        group = (parent or first) / f"taskhand-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / file).write_text(str(30 * MIB))
        except OSError:
            if group.is_dir():
                group.rmdir()
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("this machine lets us limit no memory")


@pytest.mark.parametrize(("more", "outcome"), [({}, Outcome.FAILED), (RETRY, Outcome.UP_FOR_RETRY)])
def test_what_the_kernel_killed_for_its_memory_is_told_as_that(
    tmp_path: Path, small: Path, more: dict[str, object], outcome: Outcome
) -> None:
    """The attempt has no group of its own here: what proves it is the kernel's log."""

    async def scenario() -> None:
        async with stage(tmp_path) as found:
            script = EATS.format(group=small, python=sys.executable)
            record = await found.run("t", "plain", command=["sh", "-c", script], **more)
            assert (record.outcome, record.kind, record.signal) == (outcome, FailureKind.OOM, 9)
            assert record.row.startswith("out of memory")
            assert record.why == "it was out of memory, and the kernel ended it; killed by SIGKILL (signal 9)"
            other = await found.run("t", "plain", command=["sh", "-c", "kill -9 $$"])
            assert (other.kind, other.row) == (FailureKind.APP, "signal")

    play(scenario())


CALM, SHORT = (f"full avg10={each}.00 avg60=0.00 avg300=0.00 total=1\n" for each in (0, 75))
SAVES = """
trap 'exit 85' TERM
if [ -f "$TASKHAND_CHECKPOINT_DIR/progress" ]; then exit 0; fi
echo 1 >"$TASKHAND_CHECKPOINT_DIR/progress"; printf . >"$WORK"; sleep 100 & wait
"""


def test_when_memory_is_short_the_one_that_loses_least_yields_and_resumes(tmp_path: Path) -> None:
    """The pressure is a file of the test's, in the kernel's form: a machine short of memory is not for a test."""
    with world(tmp_path) as place:
        pressure = tmp_path / "memory.pressure"
        pressure.write_text(CALM)
        patient = {"runtime": "plain", "command": ["sh", "-c", 'printf . >"$WORK"; sleep 100']}
        place.submit(
            {"task_id": "saves", "runtime": "plain", "command": ["sh", "-c", SAVES]}, {"task_id": "does_not", **patient}
        )
        place.machine(TASKHAND_CHECKPOINTS_PRESSURE_FILE=str(pressure), TASKHAND_CHECKPOINTS_EVERY_S="0.05")
        assert place.work.until(2)
        while not any(event["what"] == "checkpoint" for event in place.story("saves")):
            place.work.read(0.02)
        pressure.write_text(SHORT)
        while not any(
            event["detail"] == {"stop": "memory_pressure", "resume_from": "latest"} for event in place.story("saves")
        ):
            place.work.read(0.02)
        pressure.write_text(CALM)
        story = place.story("saves")
        assert [event["why"] for event in story if event["what"] == "remark"] == [
            "asked to yield: memory is short on this machine"
        ]
        place.until("saves", "success")
        assert place.instance("does_not")["state"] == "running"
        assert place.instance("saves")["try_number"] == 1
