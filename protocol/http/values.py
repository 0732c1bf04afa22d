"""Bodies of the routes for values: variables, state stores, runs that a task starts."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from protocol.messages.shape import Aware, Json, StrictModel


class VariablePostBody(StrictModel, frozen=True):
    """A variable to write."""

    val: str | None
    description: str | None = None


class TaskStateStorePutBody(StrictModel, frozen=True):
    """A value for the task instance's store. It may not be null: that could not be told from absent."""

    value: Json
    expires_at: Aware | None = None


class AssetStateStorePutBody(StrictModel, frozen=True):
    """A value for an asset's store."""

    value: Json


class StateStoreResponse(StrictModel, frozen=True):
    """A stored value."""

    value: Json | None


class TriggerDAGRunPayload(StrictModel, frozen=True):
    """A run to start."""

    logical_date: Aware | None = None
    run_after: Aware | None = None
    conf: dict[str, Any] | None = None
    reset_dag_run: bool | None = False
    partition_key: str | None = None
    note: str | None = None


class XComResponse(Struct, frozen=True, gc=False):
    """One value, in the form its writer gave it."""

    key: str
    value: Json | None


class ConnectionBody(StrictModel, frozen=True):
    """A connection to write, by people."""

    conn_type: Annotated[str, Meta(min_length=1, max_length=500)]
    host: str | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = None
    port: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    extra: str | None = None


class HealthReport(Struct, frozen=True, gc=False, omit_defaults=True):
    """Whether the server is well; with `detail` when it is not."""

    status: str
    detail: str | UnsetType = UNSET
