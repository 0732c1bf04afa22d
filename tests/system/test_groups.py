"""The control groups of a killed worker: the next one ends who is left in them, and removes them."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.keeper.cgroups import own_group
from tests.system.checkpoints.worlds import Machine, World, offspring, world
from tests.system.leaving import lives

pytestmark = pytest.mark.slow


@pytest.fixture
def own() -> Iterator[Path]:
    """A group for us and what we start: workers elsewhere on this machine sweep theirs."""
    around = own_group()
    group = (around or Path("/nowhere")) / f"taskhand-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cgroup.procs").write_text("0")
    except OSError:
        pytest.skip("this machine gives us no cgroup v2")
    yield group
    (group.parent / "cgroup.procs").write_text("0")
    for each in (*group.glob("*/"), group):
        each.rmdir()


def groups_of(own: Path, machine: Machine) -> list[Path]:
    return [*own.glob(f"taskhand-{machine.process.pid}-*")]


def deserted(machine: Machine) -> list[int]:
    """Kill worker and keeper in one moment, and leave the children; gives who they are."""
    worker = machine.process.pid
    family = offspring(worker)
    os.kill(worker, signal.SIGSTOP)  # so that it does not replace its keeper
    keepers = [pid for pid in family if b"supervisor.keeper" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    for pid in (*keepers, worker):
        os.kill(pid, signal.SIGKILL)
    machine.process.wait(10)
    return [pid for pid in family if pid not in keepers]


def running(place: World) -> Machine:
    command = ["sh", "-c", 'printf . >"$WORK"; sleep 1000 & sleep 1000']
    place.submit({"task_id": "t", "runtime": "plain", "command": command})
    machine = place.machine(TASKHAND_KEEPER_CGROUPS="true")
    assert place.work.until(1)
    return machine


def test_what_a_killed_worker_left_in_groups_is_ended_and_the_groups_are_removed(own: Path, tmp_path: Path) -> None:
    with world(tmp_path) as place:
        first = running(place)
        assert len([*groups_of(own, first)[0].glob("*/")]) >= 1
        children = deserted(first)
        try:
            assert groups_of(own, first) != []
            second = place.machine(TASKHAND_KEEPER_CGROUPS="true")
            while groups_of(own, first):
                place.work.read(0.05)
            assert [pid for pid in children if lives(pid)] == []
            assert second.stop() == 0
            assert groups_of(own, second) == []
        finally:
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
