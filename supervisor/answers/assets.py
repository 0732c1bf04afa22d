"""Assets and their events."""

from msgspec import json

from protocol.messages.assets import (
    AssetEventsResult,
    AssetResult,
    AssetsByAliasResult,
    GetAssetByName,
    GetAssetByUri,
    GetAssetEventByAsset,
    GetAssetEventByAssetAlias,
    GetAssetsByAlias,
    InactiveAssetsResult,
    ValidateInletsAndOutlets,
)
from supervisor.answers.desk import Desk
from supervisor.paths import path, query


async def by_name(desk: Desk, message: GetAssetByName) -> AssetResult:
    """An asset."""
    return await desk.api.get(path("assets", "by-name") + query(name=message.name), AssetResult)


async def by_uri(desk: Desk, message: GetAssetByUri) -> AssetResult:
    """An asset."""
    return await desk.api.get(path("assets", "by-uri") + query(uri=message.uri), AssetResult)


async def by_alias(desk: Desk, message: GetAssetsByAlias) -> AssetsByAliasResult:
    """The body is a bare list."""
    target = path("assets", "by-alias") + query(alias_name=message.alias_name)
    return AssetsByAliasResult(await desk.api.get(target, list[AssetResult]))


async def events(desk: Desk, message: GetAssetEventByAsset) -> AssetEventsResult:
    """Both keys have to be there, and the one that is not known is empty."""
    which = query(name=message.name or "", uri=message.uri or "")
    return await desk.api.get(path("asset-events", "by-asset") + which + _filters(message), AssetEventsResult)


async def events_by_alias(desk: Desk, message: GetAssetEventByAssetAlias) -> AssetEventsResult:
    """The events of what an alias stands for."""
    target = path("asset-events", "by-asset-alias") + query(name=message.alias_name)
    return await desk.api.get(target + _filters(message), AssetEventsResult)


async def validate(desk: Desk, message: ValidateInletsAndOutlets) -> InactiveAssetsResult:
    """Which inlets and outlets are inactive."""
    target = path("task-instances", message.ti_id, "validate-inlets-and-outlets")
    return await desk.api.get(target, InactiveAssetsResult)


def _filters(message: GetAssetEventByAsset | GetAssetEventByAssetAlias) -> str:
    found = query(
        after=message.after,
        before=message.before,
        ascending=message.ascending,
        limit=message.limit,
        partition_key=message.partition_key,
        partition_key_regexp_pattern=message.partition_key_regexp_pattern,
        extra=None if message.extra is None else json.encode(message.extra).decode(),
    )
    return "&" + found[1:]
