"""From the store's records to the bodies of answers. Values in, values out."""

from datetime import datetime
from functools import lru_cache
from typing import TypeVar, cast
from urllib.parse import quote
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from protocol.flows import TaskSpec
from protocol.http.people import InstanceSummary, RunSummary, TimelineEvent
from protocol.http.workloads import AttemptPolicy, ExecuteTask, Lease, WorkloadInstance
from protocol.messages.assets import AssetEventResponse, AssetResponse
from protocol.messages.checkpoints import CheckpointRecord
from protocol.messages.hitl import HITLDetailResponseResult, HITLUser
from protocol.messages.instances import PreviousTIResponse
from protocol.messages.runs import DagRun
from protocol.messages.startup import TIRunContext
from protocol.states import TaskInstanceState
from server.records import Asset, AssetEvent, Attempt, Checkpoint, Claimed, Event, Instance, Question, Run, Started

M = TypeVar("M", bound=msgspec.Struct)


def plain(message: M) -> M:
    """Give a message without its `type`: over HTTP the route says what it is, and clients refuse a surplus key."""
    body = msgspec.to_builtins(message)
    body.pop("type", None)
    return cast("M", body)


def dag_run(run: Run) -> DagRun:
    """A run, as tasks see it."""
    return DagRun(
        dag_id=run.dag_id,
        run_id=run.run_id,
        logical_date=run.logical_date,
        data_interval_start=run.data_interval_start,
        data_interval_end=run.data_interval_end,
        run_after=run.run_after,
        start_date=run.start_date,
        end_date=run.end_date,
        run_type=run.run_type,
        state=run.state,
        consumed_asset_events=[],
        partition_key=run.partition_key,
        clear_number=run.clear_number,
        conf=run.conf,
        triggering_user_name=run.triggering_user_name,
        note=run.note,
    )


def run_context(started: Started) -> TIRunContext:
    """The answer to `/run`."""
    instance = started.instance
    resumed = started.resumed
    return TIRunContext(
        dag_run=dag_run(started.run),
        max_tries=instance.max_tries,
        task_reschedule_count=started.reschedule_count,
        first_task_reschedule_start_date=started.first_reschedule,
        variables=[],
        connections=[],
        next_method=instance.next_method if resumed else None,
        next_kwargs=instance.next_kwargs if resumed else None,
        xcom_keys_to_clear=started.xcom_keys,
        should_retry=started.should_retry,
        start_date=instance.start_date if resumed else None,
        arg_bindings=list(started.task.args),
    )


@lru_cache(1000)
def _version_of(dag_id: str, run_id: str) -> UUID:
    """Each run keeps the graph it was submitted with, so a run has a version of its own."""
    return uuid5(NAMESPACE_URL, f"{quote(dag_id)}/{quote(run_id)}")


def workload(claimed: Claimed, token: str, lease_s: float) -> ExecuteTask:
    """What a worker gets for a claim."""
    instance, task, graph = claimed.instance, claimed.task, claimed.graph
    return ExecuteTask(
        token=token,
        dag_rel_path=graph.dag_rel_path,
        bundle_info=graph.bundle_info,
        ti=WorkloadInstance(
            id=UUID(instance.id),
            task_id=instance.task_id,
            dag_id=instance.dag_id,
            run_id=instance.run_id,
            try_number=instance.try_number,
            dag_version_id=_version_of(instance.dag_id, instance.run_id),
            pool_slots=instance.pool_slots,
            priority_weight=instance.priority,
            map_index=instance.map_index,
            context_carrier=claimed.context_carrier,
            queue=instance.queue,
        ),
        log_path=log_path(instance),
        runtime=instance.runtime,
        command=task.command,
        lease=Lease(lease_s, instance.fence),
        policy=policy(task),
    )


def policy(task: TaskSpec) -> AttemptPolicy:
    """The author's limits."""
    return AttemptPolicy(task.timeout_s, task.progress_timeout_s, task.outage, task.grace_s, task.outage_after_s)


def log_path(instance: Instance) -> str:
    """Where a worker keeps the attempt's log, relative to its folder; no name in it can lead out."""
    parts = [f"dag_id={instance.dag_id}", f"run_id={instance.run_id}", f"task_id={instance.task_id}"]
    if instance.map_index >= 0:
        parts.append(f"map_index={instance.map_index}")
    parts.append(f"attempt={instance.try_number}.log")
    return "/".join(quote(part, safe="=:+@ ") for part in parts)


def run_summary(run: Run, counts: dict[str, int]) -> RunSummary:
    """A run, as people see it."""
    return RunSummary(
        dag_id=run.dag_id,
        run_id=run.run_id,
        state=run.state,
        run_type=run.run_type,
        run_after=run.run_after,
        logical_date=run.logical_date,
        start_date=run.start_date,
        end_date=run.end_date,
        conf=run.conf,
        note=run.note,
        clear_number=run.clear_number,
        counts=counts,
    )


def instance_summary(instance: Instance, checkpoint: Checkpoint | None = None) -> InstanceSummary:
    """A task instance, as people see it."""
    return InstanceSummary(
        id=UUID(instance.id),
        dag_id=instance.dag_id,
        run_id=instance.run_id,
        task_id=instance.task_id,
        map_index=instance.map_index,
        try_number=instance.try_number,
        max_tries=instance.max_tries,
        state=instance.state,
        queue=instance.queue,
        pool=instance.pool,
        runtime=instance.runtime,
        worker=instance.worker,
        hostname=instance.hostname,
        pid=instance.pid,
        queued_at=instance.queued_at,
        start_date=instance.start_date,
        end_date=instance.end_date,
        last_heartbeat_at=instance.heartbeat_at,
        due=instance.due,
        kind=instance.kind,
        reason=instance.reason,
        rendered_map_index=instance.rendered_map_index,
        checkpoint_seq=checkpoint.seq if checkpoint else None,
        checkpoint_progress=checkpoint.progress if checkpoint else None,
    )


def attempt_summary(attempt: Attempt, current: Instance) -> InstanceSummary:
    """One attempt of an instance, replaced or not."""
    return InstanceSummary(
        id=UUID(attempt.id),
        dag_id=attempt.dag_id,
        run_id=attempt.run_id,
        task_id=attempt.task_id,
        map_index=attempt.map_index,
        try_number=attempt.try_number,
        max_tries=current.max_tries,
        state=attempt.state,
        queue=current.queue,
        pool=current.pool,
        runtime=current.runtime,
        worker=attempt.worker,
        hostname=attempt.hostname,
        pid=attempt.pid,
        queued_at=attempt.queued_at,
        start_date=attempt.start_date,
        end_date=attempt.end_date,
        kind=attempt.kind,
        reason=attempt.reason,
    )


def timeline_event(event: Event) -> TimelineEvent:
    """One line of a story."""
    return TimelineEvent(event.at, event.what, UUID(event.attempt_id), event.try_number, event.why, event.detail)


def waits(instance: Instance, asked: datetime | None) -> str:
    """Say where a queued one that nobody has claimed waits, and when a worker last asked there."""
    if instance.state is not TaskInstanceState.QUEUED or instance.worker is not None:
        return ""
    where = f"it waits in queue {instance.queue!r}"
    if asked is None:
        return f"{where}: no worker has asked this server for work of it"
    return f"{where}: a worker last asked for work of it at {asked.isoformat(timespec='seconds')}"


def checkpoint_record(checkpoint: Checkpoint | None) -> CheckpointRecord | None:
    """A checkpoint, as the next attempt gets it."""
    if checkpoint is None:
        return None
    return CheckpointRecord(
        seq=checkpoint.seq,
        attempt=checkpoint.attempt,
        created=checkpoint.created,
        progress=checkpoint.progress,
        fingerprint=checkpoint.fingerprint,
        data=checkpoint.data,
        blob=checkpoint.blob,
        reason=checkpoint.reason,
    )


def previous_instance(instance: Instance, run: Run) -> PreviousTIResponse:
    """A task instance of an earlier run."""
    began, ended = instance.start_date, instance.end_date
    return PreviousTIResponse(
        task_id=instance.task_id,
        dag_id=instance.dag_id,
        run_id=instance.run_id,
        try_number=instance.try_number,
        logical_date=run.logical_date,
        start_date=instance.start_date,
        end_date=instance.end_date,
        state=instance.state,
        map_index=instance.map_index,
        duration=(ended - began).total_seconds() if began and ended else None,
    )


def asset(known: Asset) -> AssetResponse:
    """An asset."""
    return AssetResponse(known.name, known.uri, known.group, known.extra)


def asset_event(event: AssetEvent) -> AssetEventResponse:
    """A recorded change of an asset."""
    return AssetEventResponse(
        id=event.id,
        timestamp=event.timestamp,
        asset=asset(event.asset),
        created_dagruns=[],
        extra=event.extra or {},
        source_task_id=event.source_task_id,
        source_dag_id=event.source_dag_id,
        source_run_id=event.source_run_id,
        source_map_index=event.source_map_index,
        partition_key=event.partition_key,
    )


def human_answer(question: Question) -> HITLDetailResponseResult:
    """What people answered, if they did."""
    by = question.responded_by
    return HITLDetailResponseResult(
        response_received=question.responded_at is not None,
        responded_at=question.responded_at,
        chosen_options=question.chosen_options,
        responded_by_user=HITLUser(by.get("id", ""), by.get("name", "")) if by else None,
        params_input=question.params_input or {},
    )
