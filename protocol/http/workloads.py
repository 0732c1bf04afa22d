"""Workloads: what a worker claims and carries out.

`ExecuteTask` is Airflow's envelope with keys of ours that are optional, so that the same struct is read from Airflow's
executors and from our own claims.
"""

from typing import Annotated

from msgspec import Meta

from protocol.flows import OutagePolicy
from protocol.messages.shape import Model, StrictModel
from protocol.messages.startup import BundleInfo
from protocol.messages.triggers import TriggeredInstance

WorkloadInstance = TriggeredInstance
"""A task instance with what an executor knows of it: one struct, whether a worker or a triggerer gets it."""


class Lease(Model, frozen=True):
    """How long the server believes that the attempt runs, counted from each heartbeat, and its fencing number."""

    seconds: float
    fence: int


class AttemptPolicy(Model, frozen=True):
    """The author's limits for one attempt; what is None is the worker's choice."""

    execution_timeout_s: float | None = None
    progress_timeout_s: float | None = None
    outage: OutagePolicy | None = None
    grace_s: float | None = None
    outage_after_s: float | None = None


class ExecuteTask(Model, frozen=True, tag_field="type", tag="ExecuteTask"):
    """Run this task instance."""

    token: str
    """A workload token: good for `/run`, where it is swapped for an execution token, and for nothing else."""
    dag_rel_path: str
    bundle_info: BundleInfo
    ti: WorkloadInstance
    log_path: str | None = None
    sentry_integration: str = ""
    team_name: str | None = None
    runtime: str | None = None
    command: list[str] | None = None
    lease: Lease | None = None
    policy: AttemptPolicy | None = None


Name = Annotated[str, Meta(min_length=1, max_length=250)]


class ClaimRequest(StrictModel, frozen=True):
    """A worker with free slots asks for work. It is answered at once when there is some, else within `wait_s`."""

    worker: Name
    queues: Annotated[list[Name], Meta(min_length=1, max_length=1000)]
    slots: Annotated[int, Meta(ge=1, le=10_000)]
    runtimes: Annotated[list[Name], Meta(max_length=1000)] | None = None
    """Only tasks for these runtimes, or for none by name; None takes all."""
    wait_s: Annotated[float, Meta(ge=0, le=60)] = 0.0


class ClaimReply(Model, frozen=True):
    """The claimed workloads, possibly none. An attempt that is not begun within `lease_s` is given to another."""

    workloads: list[ExecuteTask]
    lease_s: float
