"""The tables of `taskhand.toml`, as frozen structs. What is said below a field is in docs/operating.md as well."""

import os
import pwd
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from supervisor.keeper.link import Account, Limits

Seconds = Annotated[float, Meta(ge=0)]
Span = Annotated[float, Meta(gt=0)]
"""Seconds of something that cannot be done in none."""
Count = Annotated[int, Meta(ge=1)]


class SettingsError(Exception):
    """What is wrong with which setting, and where it was read."""


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file."""


class ApiSettings(Section, frozen=True):
    """Where the execution API is, and how it is reached."""

    url: str = "http://127.0.0.1:8710/execution"
    """Where it is. Not set: what a server on this machine has left in the state directory."""
    ca_file: str | None = None
    """Certificates to trust instead of the system's."""
    client_cert: str | None = None
    """A certificate to show, with `api.client_key`."""
    client_key: str | None = None
    """Its key."""
    verify: bool = True
    """Whether the server has to show a good certificate."""
    proxy: str | None = None
    """An HTTP proxy for all calls; the environment's is not used."""
    connect_timeout_s: Span = 5.0
    """How long a connection may take to come about."""
    timeout_s: Span = 10.0
    """How long a call may be without an answer before it counts as unanswered."""
    connections: Count = 64
    """How many are kept open at most."""
    extended: bool = False
    """The server is one of ours, although its workloads come from elsewhere."""


class WorkerSettings(Section, frozen=True):
    """What this worker takes, and who it is."""

    name: str = ""
    """Empty: host and process."""
    token: str | None = None
    """What it claims with. Not set: what a server on this machine has left. Best in the environment."""
    slots: Count = 8
    """How many attempts at a time."""
    queues: tuple[str, ...] = ("default",)
    """Which queues it takes work from."""
    source: Literal["claim", "stdin"] = "claim"
    """Where workloads come from: a server of ours, or lines on stdin."""
    claim_wait_s: Seconds = 30.0
    """How long a claim waits at the server for work."""
    state_dir: str = "~/.taskhand"
    """What outlives a worker; on a local disk, for one worker alone."""
    log_dir: str = ""
    """Empty: `worker-logs` in the state directory. `logs` there is the server's, who prunes it by its own rules."""


class LimitSettings(Section, frozen=True):
    """Deadlines that are not the author's."""

    boot_s: Span = 60.0
    """From the start of the process to its first frame."""
    overtime_s: Seconds = 20.0
    """From the last word of a task to its exit."""
    heartbeat_s: Span = 10.0
    """Between two heartbeats, where the server says nothing else by its lease."""
    lease_s: Span = 300.0
    """What is taken for the lease where a workload brings none."""


class CheckpointSettings(Section, frozen=True):
    """Where checkpoints' files are, and how plain programs' directories are looked after."""

    blobs: str = ""
    """A folder, or a URL of an object store (extra `fsspec`). Empty: `blobs` in the state directory."""
    every_s: float = 1.0
    """How often a plain program's checkpoint directory is looked at."""
    memory_pressure: float = 40.0
    """Above this percentage of stalled time (PSI, `full avg10`) one attempt is asked to yield; 0 never asks."""
    pressure_file: str = ""
    """Where that is read. Empty: `memory.pressure` of our own control group, else of the machine."""
    notice: str = ""
    """Where it is said when this machine ends: a file, an http address, or `module:function`."""
    notice_every_s: float = 5.0
    """How often that is looked at."""


class KeeperOptions(Section, frozen=True):
    """The process that starts children."""

    entry: str = "runner.child:main"
    """What a Python child calls, `module:function`."""
    preload: tuple[str, ...] = ()
    """Modules, and flow files (`….py`), that children find imported. When one changes, the keeper is replaced."""
    cgroups: bool = True
    """Give each attempt a control group where the machine lets us; with several workers in one group, only one can."""
    pass_env: tuple[str, ...] = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "USER", "SHELL")
    """The variables of our environment that children get. What is not named here stays with us: it may be a secret."""
    env: Mapping[str, str] = field(default_factory=dict)
    """More variables for children."""


class JournalSettings(Section, frozen=True):
    """What is written down so that it survives us."""

    enabled: bool = True
    """Without it a killed worker owes nothing, because nobody knows what."""
    on_fault: Literal["go_on", "drain"] = "go_on"
    """When it cannot be written (a full disk): tell outcomes without it, or take no more work and end."""
    segment_bytes: int = 1024 * 1024
    """When a segment is left for a new one. The disk needs about twice as much, and what is undelivered."""


class ChildSettings(Section, frozen=True):
    """What one attempt's processes may use, together where the machine has control groups for us."""

    memory: Count | None = None
    """Bytes, of all its processes together."""
    pids: Count | None = None
    """Processes and threads."""
    cpu_weight: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    """Its share when CPU is short; 100 is usual."""
    oom_score_adj: Annotated[int, Meta(ge=-1000, le=1000)] | None = None
    """Whom the kernel ends first when memory is short."""
    rlimits: Mapping[str, int] = field(default_factory=dict)
    """By the name after RLIMIT_, in lower case: {"nofile": 1024, "core": 0}."""
    user: str | None = None
    """Run children as this user; only root can."""

    def limits(self) -> Limits:
        """Give them as the keeper takes them. Raises SettingsError where there is no such user."""
        account = None if self.user is None else _account(self.user)
        return Limits(self.memory, self.pids, self.cpu_weight, dict(self.rlimits), self.oom_score_adj, account)


def _account(user: str) -> Account:
    try:
        found = pwd.getpwnam(user)
    except KeyError as error:
        raise SettingsError(f"children.user: there is no user called {user!r}") from error
    groups = tuple(os.getgrouplist(user, found.pw_gid))
    return Account(user, found.pw_uid, found.pw_gid, groups, found.pw_dir)
