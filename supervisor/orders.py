"""From a workload to an attempt that can be made: routing, limits, places. Settings meet the server's wishes here."""

import asyncio
from pathlib import Path

import msgspec
from msgspec import Struct, field, structs

from protocol.http.workloads import AttemptPolicy, ExecuteTask
from protocol.messages.startup import TIRunContext
from supervisor import runtimes
from supervisor.adopting import Facts
from supervisor.answers.desk import Desk
from supervisor.api import Client
from supervisor.arguments import resolve
from supervisor.deadlines import Limits as Deadlines
from supervisor.events import Policy
from supervisor.folders import Folder
from supervisor.journal_writer import Notebook
from supervisor.keeper.children import Child
from supervisor.keeper.client import KeeperClient
from supervisor.keeper.link import Kind, Limits, SpawnRequest
from supervisor.logs_pump import LogPump
from supervisor.notes import Notes
from supervisor.pages import Page, Title
from supervisor.paths import quote
from supervisor.places import trouble
from supervisor.retrying import RetryPolicy
from supervisor.sections import SettingsError
from supervisor.settings import Settings
from supervisor.shipping import Way
from supervisor.tenure import Outage

NAME_CAP = 200
"""Of a file's name; most file systems take 255 bytes."""


class Office(Struct, frozen=True):
    """What all attempts of a worker share."""

    client: Client
    keeper: KeeperClient
    logs: LogPump
    hostname: str
    unixname: str
    pid: int
    lease_s: float = 300.0
    """Where a workload says nothing of one: Airflow's heartbeat time-out."""
    answer_s: float = 10.0
    """How long an answer may take to come."""
    patience: RetryPolicy = RetryPolicy()
    extended: bool = False
    """Whether the server is known to be ours even where the workload does not show it."""
    way: Way = field(default_factory=Way)
    """Whether logs reach the server."""
    held: tuple[Child, ...] = ()
    """The children of the supervisor before us, as their keepers hold them."""
    starting: "asyncio.Task[None] | None" = None
    """Done when there is a keeper for new children; None where there is one."""
    journal: Notebook | None = None
    """Where outcomes are written down before they are told; of a worker that carries out one workload, kept in mind."""

    @property
    def host(self) -> tuple[str, str]:
        """Where it runs, and as whom."""
        return self.hostname, self.unixname


class Order(Struct, frozen=True):
    """One attempt to make: what the server wants, and what this worker's settings make of it."""

    workload: ExecuteTask
    runtime: runtimes.Runtime
    policy: Policy
    log: Path
    task: runtimes.Task
    checkpoints: Path | None = None
    """Where a child without frames keeps its checkpoints."""
    blobs: str = ""
    """Where checkpoints' files are."""
    every_s: float = 1.0
    """How often such a child's checkpoints are looked at."""
    limits: Limits = Limits()
    problem: str | None = None
    """Why it cannot be made. It is ordered all the same, because the server has to be told."""


def order_of(workload: ExecuteTask, settings: Settings) -> Order:
    """Give the order."""
    ti, problem, limits = workload.ti, None, Limits()
    runtime = runtimes.BUILT_IN["python"]
    try:
        runtime, limits = settings.runtime(workload.runtime, ti.queue), settings.children.limits()
    except SettingsError as error:
        problem = str(error)
    row = runtimes.TABLE[runtime.kind]
    root = settings.bundles.get(workload.bundle_info.name)
    task = runtimes.Task(
        ti_id=str(ti.id),
        flow=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        try_number=ti.try_number,
        map_index=ti.map_index,
        file=None if root is None else str(Path(root, workload.dag_rel_path)),
    )
    place = Path(*(_name(part) for part in (ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index))))
    return Order(
        workload=workload,
        runtime=runtime,
        policy=_policy(workload.policy or AttemptPolicy(), settings, runtime),
        log=settings.log_dir / place / f"{ti.try_number}-{ti.id}.jsonl",
        task=task,
        checkpoints=None if row.frames else settings.own_dir / "checkpoints" / place,
        blobs=settings.blobs,
        every_s=settings.checkpoints.every_s,
        limits=limits,
        problem=problem,
    )


def page_of(office: Office, order: Order, *, extended: bool) -> Page:
    """Give its page of the journal."""
    return Page(office.journal, order.workload.ti.id.bytes, title_of(order, extended=extended))


def facts_of(order: Order, began: float, pid: int, folder: Folder | None) -> Facts:
    """Give what a supervisor has to know that adopts the attempt, and what must not change with its settings."""
    return Facts(
        workload=msgspec.json.encode(order.workload),
        runtime=order.runtime,
        policy=order.policy,
        log=str(order.log),
        checkpoints=None if order.checkpoints is None else str(order.checkpoints),
        began=began,
        pid=pid,
        inputs=None if folder is None else folder.print,
    )


def order_from(facts: Facts, settings: Settings) -> Order:
    """Give the order of an attempt that is adopted: as it was given, whatever the settings say now."""
    found = order_of(msgspec.json.decode(facts.workload, type=ExecuteTask), settings)
    return structs.replace(
        found,
        runtime=facts.runtime,
        policy=facts.policy,
        log=Path(facts.log),
        checkpoints=None if facts.checkpoints is None else Path(facts.checkpoints),
        problem=None,
    )


def title_of(order: Order, *, extended: bool) -> Title:
    """Give what stands at the head of its page."""
    task, checkpoints = order.task, order.checkpoints
    return Title(
        name=f"{task.flow}/{task.run_id}/{task.task_id}/{task.map_index}",
        try_number=task.try_number,
        extended=extended,
        log=str(order.log),
        checkpoints=None if checkpoints is None else str(checkpoints / task.ti_id),
    )


def _policy(wished: AttemptPolicy, settings: Settings, runtime: runtimes.Runtime) -> Policy:
    limits, row = settings.limits, runtimes.TABLE[runtime.kind]
    return Policy(
        limits=Deadlines(limits.boot_s, wished.execution_timeout_s, wished.progress_timeout_s, limits.overtime_s),
        graces=settings.graces,
        grace_s=wished.grace_s,
        outage=_outage(wished, settings.outage),
        heartbeat_s=limits.heartbeat_s,
        talks=row.frames,
        zero_is_success=row.zero_is_success if runtime.zero_is_success is None else runtime.zero_is_success,
    )


def _outage(wished: AttemptPolicy, ours: Outage) -> Outage:
    """The author's where there is one: whole, because our seconds were not meant for another policy."""
    policy = ours.policy if wished.outage is None else wished.outage
    after_s = ours.after_s if wished.outage is None and wished.outage_after_s is None else wished.outage_after_s
    return Outage(policy, after_s)


def _name(part: str) -> str:
    """Give one name of a path: quoted, so that no id leads anywhere else, and of a length that file systems take."""
    quoted = quote(part)
    return quoted if len(quoted) <= NAME_CAP else quoted[:NAME_CAP]


def request_of(order: Order, plan: runtimes.SpawnPlan) -> SpawnRequest:
    """Give what the keeper is asked."""
    kind = Kind.PYTHON if plan.forks else Kind.EXEC
    ti_id = str(order.workload.ti.id)
    return SpawnRequest(ti_id, kind, plan.argv, dict(plan.env), plan.cwd, plan.frames, order.limits)


def folder_of(order: Order, notes: Notes) -> Folder | None:
    """Give the checkpoint directory of a child that has no other way to keep one."""
    if order.checkpoints is None:
        return None
    ti = order.workload.ti
    names = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
    return Folder(order.checkpoints, order.blobs, names, notes, order.limits.account)


async def planned(order: Order, desk: Desk, context: TIRunContext | None, folder: Folder | None) -> runtimes.SpawnPlan:
    """Say how the child starts. One that cannot ask gets its arguments and its checkpoint directory along."""
    if order.problem is not None:
        raise runtimes.UnfitError(order.problem)
    task = order.task
    if not order.policy.talks:
        bindings = [] if context is None else context.arg_bindings or []
        arguments = await resolve(desk.api, order.workload.ti, bindings)
        code = [*(order.workload.command or order.runtime.command or [task.file or ""])]
        try:
            place = None if folder is None else str(await folder.prepare(desk, code, arguments))
        except OSError as error:
            raise runtimes.UnfitError(f"no checkpoint directory: {trouble(error, order.checkpoints)}") from error
        task = structs.replace(task, arguments=arguments, checkpoint_dir=place)
    command = order.workload.command
    return runtimes.plan(order.runtime, task, None if command is None else tuple(command))
