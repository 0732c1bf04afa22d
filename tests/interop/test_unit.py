"""`deploy/taskhand.service` under systemd itself: started, stopped, its worker killed and replaced.

Whether systemd can start the next worker beside attempts that have limits (decision 0045) shows where the machine has
its controllers in control groups of version 2; on others the attempts have groups without any.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from supervisor.programs import Programs, until
from tests.architecture.layout import ROOT
from tests.interop.units import STATE, SYSTEMD, Manager, files, manager

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0 or not Path(SYSTEMD).exists(), reason="needs systemd, and is root's"),
]

FLOWS = f"{ROOT / 'runner' / 'tour.py'}"


class Place(NamedTuple):
    """A server, and a systemd that runs the unit."""

    programs: Programs
    unit: Manager

    def submit(self, flow: str, **params: object) -> str:
        """Have a flow run."""
        options = [word for name, value in params.items() for word in ("--param", f"{name}={value}")]
        run: str = self.programs.call("submit", f"{FLOWS}:{flow}", "--json", *options)["run_id"]
        return run

    def rows(self, run: str) -> list[dict[str, Any]]:
        """Give the run's task instances."""
        rows: list[dict[str, Any]] = self.programs.call("ps", "--run", run, "--json")["instances"]
        return rows

    def story(self, name: str) -> list[str]:
        """Give what happened to one, as `worker why` tells it."""
        return [event["what"] for event in self.programs.call("why", name, "--json")["events"]]

    def size(self, mark: str) -> int:
        """Say how much a task has written."""
        file = self.unit.home() / mark
        return file.stat().st_size if file.exists() else 0

    def shown(self, *marks: str) -> None:
        """Wait until tasks have left their marks."""
        until(lambda: all(self.size(mark) for mark in marks), f"they do not begin: {self.unit.log()}")

    def over(self, run: str) -> None:
        """Wait for the end of a run."""
        ended = {"success", "failed"}
        until(lambda: {row["state"] for row in self.rows(run)} <= ended, f"it does not end: {self.unit.log()}")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    home = tmp_path / "server"
    home.mkdir(mode=0o700)
    with Programs(home) as programs:
        programs.start("server", "--port", "0", "--lease", "60")
        url = (home / "server-url").read_text().strip()
        token = (home / "worker-token").read_text().strip()
        environ = {"TASKHAND_API_URL": f"{url}/execution", "TASKHAND_WORKER_TOKEN": token}
        with manager(tmp_path, environ) as unit:
            yield Place(programs, unit)


def started(place: Place) -> int:
    """Start the unit: returns when it has said that it is ready. Gives the main process, as seen from here."""
    place.unit.call("/usr/bin/systemctl", "start", "taskhand")
    assert place.unit.ask("ActiveState") == "active"
    return int(place.unit.ask("MainPID"))


def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    folder = files(tmp_path / "files", {})
    unit = folder / "etc/systemd/system/taskhand.service"
    unit.write_text(unit.read_text().replace("/opt/", f"{folder}/opt/"))
    done = subprocess.run(
        ["/usr/bin/systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    strange = [line for line in done.stderr.splitlines() if "Unknown key 'DelegateSubgroup'" not in line]  # before 254
    assert (done.returncode, strange) == (0, [])


def test_a_stop_drains_with_a_checkpoint_and_a_start_goes_on(place: Place) -> None:
    started(place)
    run = place.submit("job", tally=STATE / "tally", step_s=0.05)
    until(lambda: place.size("tally") >= 10, f"it does not get on: {place.unit.log()}")
    place.unit.call("/usr/bin/systemctl", "stop", "taskhand")
    assert (place.unit.ask("ActiveState"), place.unit.ask("Result")) == ("inactive", "success")
    assert "told_checkpointed" in place.story(f"job/{run}/count")
    assert place.unit.call("/bin/sh", "-c", "ps -u taskhand -o pid= | wc -l") == "0"
    started(place)
    place.over(run)
    assert {"told_checkpointed", "resumes_from", "told_success"} <= {*place.story(f"job/{run}/count")}
    assert place.size("tally") <= 61


def test_a_killed_worker_is_started_anew_and_adopts_what_runs(place: Place) -> None:
    first = started(place)
    run = place.submit("orphans", folder=STATE)
    place.shown("orphan", "script")
    place.unit.call("/bin/kill", "-KILL", str(first))
    until(lambda: place.unit.ask("NRestarts") == "1" and place.unit.ask("ActiveState") == "active", place.unit.log())
    assert int(place.unit.ask("MainPID")) != first
    (place.unit.home() / "adopted").touch()
    place.over(run)
    for task in ("orphan", "script"):
        assert place.story(f"orphans/{run}/{task}")[-2:] == ["run", "told_success"]


def test_an_upgrade_keeps_the_main_process_and_its_tasks(place: Place) -> None:
    first = started(place)
    run = place.submit("orphans", folder=STATE)
    place.shown("orphan", "script")
    place.unit.call("/opt/taskhand/bin/worker", "upgrade", "--state-dir", str(STATE))  # as root
    place.unit.call("/usr/bin/systemctl", "reload", "taskhand")  # as its own account
    assert int(place.unit.ask("MainPID")) == first
    assert (place.unit.ask("ActiveState"), place.unit.ask("NRestarts")) == ("active", "0")
    (place.unit.home() / "adopted").touch()
    place.over(run)
    assert place.story(f"orphans/{run}/orphan")[-2:] == ["run", "told_success"]


def test_what_cannot_work_is_not_started_again(place: Place) -> None:
    (Path(f"/proc/{place.unit.pid}/root/etc/taskhand/taskhand.toml")).write_text("[worker]\nslot = 3\n")
    done = subprocess.run(
        ["/usr/bin/nsenter", "-t", str(place.unit.pid), "-m", "-p", "-C", "--", "systemctl", "start", "taskhand"],
        check=False,
        capture_output=True,
    )
    assert done.returncode != 0
    assert (place.unit.ask("ActiveState"), place.unit.ask("NRestarts")) == ("failed", "0")
