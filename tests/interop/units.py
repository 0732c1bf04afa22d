"""A systemd of our own: the machine's, as the first process of namespaces that end with it.

It sees a /etc, /opt and /var/lib of its own, its control groups lie in one of ours, and it knows no units but ours and
bare targets. What is tested is the file in `deploy`, unchanged, at the place where it says that it is to be copied to.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from supervisor.keeper.cgroups import own_group
from supervisor.programs import until
from tests.architecture.layout import ROOT

SYSTEMD = "/lib/systemd/systemd"
UNITS = "etc/systemd/system"
TARGETS = ("sysinit", "basic", "shutdown", "network-online", "multi-user")
ACCOUNT = "taskhand:x:64123:"
STATE = Path("/var/lib/taskhand")

BEGIN = """set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 none /run
mkdir /run/files && mount --bind {files} /run/files
"""
OWN = """mkdir -p /run/over/{place}/new /run/over/{place}/work
mount -t overlay -o lowerdir=/{place},upperdir=/run/over/{place}/new,workdir=/run/over/{place}/work none /{place}
cp -r /run/files/{place}/. /{place}
"""
END = """mount -t tmpfs -o mode=755 none /var/lib
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=taskhand SYSTEMD_UNIT_PATH=/{units} \\
    {systemd} --system --unit=multi-user.target
"""


def opened(paths: list[Path]) -> str:
    """Let every account come to these folders: one above them may be closed to all but root."""
    lines = []
    for number, path in enumerate(paths):
        closed = [each for each in reversed(path.parents) if not each.stat().st_mode & 0o001]
        if closed:
            lines.append(f"mkdir /run/{number} && mount --bind {path} /run/{number}\n")
            lines.append(f"mount -t tmpfs -o mode=755 none {closed[0]}\n")
            lines.append(f"mkdir -p {path} && mount --bind /run/{number} {path}\n")
    return "".join(lines)


def files(folder: Path, environ: Mapping[str, str]) -> Path:
    """Lay out what the machine of this systemd has besides ours."""
    units = folder / UNITS
    units.mkdir(parents=True)
    for name in TARGETS:
        units.joinpath(f"{name}.target").write_text(f"[Unit]\nDescription={name}\nDefaultDependencies=no\n")
    units.joinpath("taskhand.service").write_text(ROOT.joinpath("deploy", "taskhand.service").read_text())
    aside = units / "taskhand.service.d"
    aside.mkdir()
    aside.joinpath("said.conf").write_text(
        "[Service]\nStandardOutput=append:/run/said\nStandardError=append:/run/said\n"
    )
    etc = folder / "etc"
    etc.joinpath("passwd").write_text(Path("/etc/passwd").read_text() + f"{ACCOUNT}64123::/nonexistent:/bin/sh\n")
    etc.joinpath("group").write_text(Path("/etc/group").read_text() + f"{ACCOUNT}\n")
    etc.joinpath("taskhand").mkdir()
    etc.joinpath("taskhand", "worker.env").write_text("".join(f"{name}={value}\n" for name, value in environ.items()))
    etc.joinpath("taskhand", "taskhand.toml").write_text("[worker]\nslots = 4\n")
    program = folder / "opt" / "taskhand" / "bin" / "worker"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec env PYTHONPATH={ROOT} {sys.executable} -m supervisor "$@"\n')
    program.chmod(0o755)
    return folder


class Manager:
    """One systemd that runs."""

    def __init__(self, pid: int, said: Path) -> None:
        self.pid = pid
        self.said = said

    def call(self, *command: str) -> str:
        """Call a program where it is the first process; give what it prints."""
        inside = ["/usr/bin/nsenter", "-t", str(self.pid), "-m", "-p", "-C", "--", *command]
        done = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=90)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}{self.log()}"
        return done.stdout.strip()

    def ask(self, what: str) -> str:
        """Give a property of the unit."""
        return self.call("/usr/bin/systemctl", "show", "--value", "-p", what, "taskhand")

    def log(self) -> str:
        """Give what manager and worker have said."""
        worker = Path(f"/proc/{self.pid}/root/run/said")
        return self.said.read_text()[-2000:] + (worker.read_text()[-2000:] if worker.exists() else "")

    def home(self) -> Path:
        """Give the unit's state directory, as it is seen from here."""
        return Path(f"/proc/{self.pid}/root{STATE}")


@contextlib.contextmanager
def manager(folder: Path, environ: Mapping[str, str]) -> Iterator[Manager]:
    """Start one; it and all that it started are gone afterwards."""
    boot, said = folder / "boot", folder / "said"
    above = own_group()
    assert above is not None, "systemd needs control groups of version 2"
    group = above / f"taskhand-unit-{os.getpid()}"
    places = [Path(sys.base_prefix), Path(sys.prefix), ROOT]
    boot.write_text(
        BEGIN.format(files=files(folder / "files", environ))
        + opened(places)
        + "".join(OWN.format(place=place) for place in ("etc", "opt"))
        + END.format(units=UNITS, systemd=SYSTEMD)
    )
    group.mkdir()
    with said.open("wb") as log:
        first = subprocess.Popen(
            [
                "/bin/sh",
                "-c",
                f"echo $$ >{group}/cgroup.procs && exec unshare -mpfC --mount-proc --kill-child sh {boot}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        children = Path(f"/proc/{first.pid}/task/{first.pid}/children")
        until(lambda: "systemd" in command_of(children.read_text()), f"no systemd: {said.read_text()}")
        found = Manager(int(children.read_text()), said)
        until(lambda: Path(f"/proc/{found.pid}/root/run/systemd/private").exists(), said.read_text())
        # A group with processes of its own hands no controllers down; systemd's are in `init.scope` by now.
        above.joinpath("cgroup.procs").write_text(str(first.pid))
        yield found
    finally:
        group.joinpath("cgroup.kill").write_text("1")
        first.kill()
        first.wait()
        until(lambda: "populated 0" in group.joinpath("cgroup.events").read_text(), "somebody does not end")
        for each in [*sorted(group.rglob("*/"), reverse=True), group]:
            each.rmdir()


def command_of(pid: str) -> str:
    """Say what a process executes; nothing of one that is not there."""
    try:
        return Path(f"/proc/{int(pid)}/comm").read_text().strip()
    except (OSError, ValueError):
        return ""
