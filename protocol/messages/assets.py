"""Assets: what tasks read and write, by name, URI or alias, and the events that say it happened."""

from uuid import UUID

from protocol.changes import Change, drop
from protocol.messages.shape import Aware, Json, Message, SparseMessage, SparseModel, StrictModel


class AssetProfile(StrictModel, frozen=True):
    """An asset as a task names it among its inlets and outlets."""

    type: str
    """The kind of reference: `Asset`, `AssetAlias`, `AssetNameRef` or `AssetUriRef`."""
    name: str | None = None
    uri: str | None = None


class AssetResponse(SparseModel, frozen=True):
    """An asset as the server knows it."""

    name: str
    uri: str
    group: str
    extra: dict[str, Json | None] | None = None


class DagRunAssetReference(StrictModel, frozen=True):
    """A run that an asset event created."""

    run_id: str
    dag_id: str
    logical_date: Aware | None
    start_date: Aware | None
    end_date: Aware | None
    state: str
    data_interval_start: Aware | None
    data_interval_end: Aware | None
    partition_key: str | None


class AssetEventResponse(SparseModel, frozen=True):
    """One recorded change of an asset, with where it came from and what it set off."""

    id: int
    timestamp: Aware
    asset: AssetResponse
    created_dagruns: list[DagRunAssetReference]
    extra: dict[str, Json | None] | None = None
    source_task_id: str | None = None
    source_dag_id: str | None = None
    source_run_id: str | None = None
    source_map_index: int | None = None
    partition_key: str | None = None


class AssetReferenceAssetEventDagRun(StrictModel, frozen=True):
    """The asset of an event that a run consumed."""

    name: str
    uri: str
    extra: dict[str, Json]


class AssetAliasReferenceAssetEventDagRun(StrictModel, frozen=True):
    """An alias through which an event reached its asset."""

    name: str


class AssetEventDagRunReference(StrictModel, frozen=True):
    """An asset event that a run consumed."""

    asset: AssetReferenceAssetEventDagRun
    extra: dict[str, Json]
    source_task_id: str | None
    source_dag_id: str | None
    source_run_id: str | None
    source_map_index: int | None
    source_aliases: list[AssetAliasReferenceAssetEventDagRun]
    timestamp: Aware
    partition_key: str | None = None


class GetAssetByName(Message, frozen=True):
    """Ask for an asset by its name."""

    name: str


class GetAssetByUri(Message, frozen=True):
    """Ask for an asset by its URI."""

    uri: str


class GetAssetsByAlias(Message, frozen=True):
    """Ask for the assets an alias stands for."""

    alias_name: str


class AssetResult(SparseMessage, frozen=True):
    """An asset."""

    name: str
    uri: str
    group: str
    extra: dict[str, Json | None] | None = None


class AssetsByAliasResult(Message, frozen=True):
    """The assets an alias stands for, possibly none."""

    assets: list[AssetResult]


class GetAssetEventByAsset(Message, frozen=True):
    """Ask for the events of one asset. At least one of name and URI says which."""

    name: str | None
    uri: str | None
    after: Aware | None = None
    before: Aware | None = None
    limit: int | None = None
    ascending: bool = True
    partition_key: str | None = None
    partition_key_regexp_pattern: str | None = None
    extra: dict[str, str] | None = None


class GetAssetEventByAssetAlias(Message, frozen=True):
    """Ask for the events of the assets behind an alias."""

    alias_name: str
    after: Aware | None = None
    before: Aware | None = None
    limit: int | None = None
    ascending: bool = True
    partition_key: str | None = None
    partition_key_regexp_pattern: str | None = None
    extra: dict[str, str] | None = None


class AssetEventsResult(SparseMessage, frozen=True):
    """Asset events in the order that was asked for."""

    asset_events: list[AssetEventResponse]


class ValidateInletsAndOutlets(Message, frozen=True):
    """Ask which of a task instance's inlets and outlets are inactive."""

    ti_id: UUID


class InactiveAssetsResult(SparseMessage, frozen=True):
    """The inlets and outlets that are inactive; none means the task may run."""

    inactive_assets: list[AssetProfile] | None = None


_without_filters = drop("partition_key", "partition_key_regexp_pattern", "extra")

CHANGES = (
    Change("2026-10-30", GetAssetEventByAsset, down=_without_filters),
    Change("2026-10-30", GetAssetEventByAssetAlias, down=_without_filters),
)
