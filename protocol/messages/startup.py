"""The greeting: the one frame a supervisor sends unasked, with everything a child needs to begin."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from protocol.changes import Change, both, drop, within
from protocol.messages.runs import DagRun
from protocol.messages.shape import Aware, Json, Message, Model, Moment, StrictModel


class TaskInstance(Model, frozen=True):
    """The task instance that this child runs."""

    id: UUID
    task_id: str
    dag_id: str
    run_id: str
    try_number: int
    dag_version_id: UUID
    map_index: int = -1
    region_id: UUID | None = None
    region_index: int | None = None
    hostname: str | None = None
    context_carrier: dict[str, Any] | None = None
    queue: str = "default"


class BundleInfo(Model, frozen=True):
    """Where the code is: a named bundle, at a version when the bundle has versions."""

    name: str
    version: str | None = None
    version_data: dict[str, Any] | None = None


class VariableResponse(StrictModel, frozen=True):
    """A variable that the server sent along."""

    key: str
    value: str | None


class ConnectionResponse(Model, frozen=True):
    """A connection that the server sent along."""

    conn_id: str
    conn_type: str
    host: str | None
    schema: str | None
    login: str | None
    password: str | None
    port: int | None
    extra: str | None


class LoopContext(Model, frozen=True):
    """Where in a loop of tasks this one stands."""

    node_id: str
    index: Annotated[int, Meta(ge=0)]
    max_iterations: Annotated[int, Meta(gt=0)]
    terminal_task_id: str
    terminal_is_mapped: bool


class LoopDecisionPayload(StrictModel, frozen=True):
    """Whether the loop this task belongs to ends here."""

    stop: bool
    reason: str | None = None


ArgValueSchema = Annotated[dict[str, Json], Meta(extra_json_schema={"$ref": "#/$defs/ArgValueSchema"})]
"""A JSON Schema that an argument's value should fit."""


class XComArgBinding(Struct, frozen=True, gc=False, tag_field="kind", tag="xcom"):
    """An argument whose value is what another task of the run returned."""

    name: str
    task_id: str
    value_schema: ArgValueSchema | None = None


class LiteralArgBinding(Struct, frozen=True, gc=False, tag_field="kind", tag="literal"):
    """An argument whose value is written here."""

    name: str
    value_schema: ArgValueSchema | None = None
    value: Json | None = None
    from_default: bool = False


class MappedArgBinding(Struct, frozen=True, gc=False, tag_field="kind", tag="mapped"):
    """An argument whose value is this map index's item of the list another task returned. Taskhand's own."""

    name: str
    task_id: str
    value_schema: ArgValueSchema | None = None


TaskArgBinding = XComArgBinding | LiteralArgBinding | MappedArgBinding


class TIRunContext(Model, frozen=True):
    """What the server said when the attempt was started: its run, its retries, and what it resumes from."""

    dag_run: DagRun
    max_tries: int
    loop: LoopContext | None = None
    task_reschedule_count: int = 0
    first_task_reschedule_start_date: Aware | None = None
    variables: list[VariableResponse] | None = None
    connections: list[ConnectionResponse] | None = None
    next_method: str | None = None
    next_kwargs: dict[str, Any] | str | None = None
    xcom_keys_to_clear: list[str] | None = None
    should_retry: bool = False
    start_date: Aware | None = None
    arg_bindings: list[TaskArgBinding] | None = None
    multi_team: bool = False


class StartupDetails(Message, frozen=True):
    """The greeting of a task's child."""

    ti: TaskInstance
    dag_rel_path: str
    bundle_info: BundleInfo
    start_date: Moment
    ti_context: TIRunContext
    sentry_integration: str


without_region = drop("region_id", "region_index")
without_new_context = drop("loop", "first_task_reschedule_start_date", "arg_bindings", "multi_team")

CHANGES = (
    Change(
        "2026-10-30",
        StartupDetails,
        down=both(
            within("ti", without_region),
            within("bundle_info", drop("version_data")),
            within("ti_context", without_new_context),
        ),
    ),
)
