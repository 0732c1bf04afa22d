"""Assets and their events, as tasks ask for them."""

from collections.abc import Mapping
from typing import Annotated

from litestar import get
from litestar.params import FromQuery, QueryParameter

from protocol.messages.assets import AssetEventsResult, AssetResponse
from protocol.messages.shape import Aware
from server.admission import TASK, Call
from server.filters import AssetEventFilter
from server.refusals import refused
from server.routes.answers import refusals
from server.views import asset, asset_event, plain

Pairs = Annotated[list[str] | None, QueryParameter(max_items=100)]
Limit = Annotated[int | None, QueryParameter(ge=1, le=100_000)]


@get("/assets/by-name", opt=TASK, responses=refusals(), summary="Find an asset")
async def by_name(request: Call, name: FromQuery[str]) -> AssetResponse:
    """Find an asset by its name."""
    found = await request.deck.store.get_asset(name=name)
    if found is None:
        raise refused(404, "not_found", f"there is no asset {name!r}")
    return asset(found)


@get("/assets/by-uri", opt=TASK, responses=refusals(), summary="Find an asset")
async def by_uri(request: Call, uri: FromQuery[str]) -> AssetResponse:
    """Find an asset by its URI."""
    found = await request.deck.store.get_asset(uri=uri)
    if found is None:
        raise refused(404, "not_found", f"there is no asset {uri!r}")
    return asset(found)


@get("/assets/by-alias", opt=TASK, responses=refusals(), summary="Assets of an alias")
async def by_alias(request: Call, alias_name: FromQuery[str]) -> list[AssetResponse]:
    """Give the assets that an alias stands for, possibly none."""
    return [asset(found) for found in await request.deck.store.assets_of_alias(alias_name)]


@get("/asset-events/by-asset", opt=TASK, responses=refusals(400), summary="Events of an asset")
async def events(
    request: Call,
    name: FromQuery[str | None] = None,
    uri: FromQuery[str | None] = None,
    after: FromQuery[Aware | None] = None,
    before: FromQuery[Aware | None] = None,
    ascending: FromQuery[bool] = True,
    limit: Limit = None,
    partition_key: FromQuery[str | None] = None,
    partition_key_regexp_pattern: FromQuery[str | None] = None,
    extra: Pairs = None,
) -> AssetEventsResult:
    """Give the events of the asset of this name, this URI, or both."""
    if not name and not uri:
        raise refused(400, "Missing parameter", "name and uri cannot both be null")
    found = await request.deck.store.get_asset(name=name or None, uri=uri or None)
    keys = [found.key] if found else []
    return await _events(
        request,
        AssetEventFilter(
            assets=keys, after=after, before=before, ascending=ascending, limit=limit, partition_key=partition_key
        ),
        partition_key_regexp_pattern,
        extra,
    )


@get("/asset-events/by-asset-alias", opt=TASK, responses=refusals(400), summary="Events of the assets of an alias")
async def events_by_alias(
    request: Call,
    name: FromQuery[str],
    after: FromQuery[Aware | None] = None,
    before: FromQuery[Aware | None] = None,
    ascending: FromQuery[bool] = True,
    limit: Limit = None,
    partition_key: FromQuery[str | None] = None,
    partition_key_regexp_pattern: FromQuery[str | None] = None,
    extra: Pairs = None,
) -> AssetEventsResult:
    """Give the events of all assets that an alias stands for."""
    keys = [found.key for found in await request.deck.store.assets_of_alias(name)]
    return await _events(
        request,
        AssetEventFilter(
            assets=keys, after=after, before=before, ascending=ascending, limit=limit, partition_key=partition_key
        ),
        partition_key_regexp_pattern,
        extra,
    )


async def _events(
    request: Call, which: AssetEventFilter, pattern: str | None, extra: list[str] | None
) -> AssetEventsResult:
    if pattern is not None:
        # A pattern from anybody, run over all there is: that is how a server is stopped from outside.
        raise refused(400, "unsupported", "events are not searched by a regular expression here: give partition_key")
    wanted = dict(pair.split("=", 1) for pair in extra or [] if "=" in pair)
    found = await request.deck.store.asset_events(which) if which.assets else []
    return plain(AssetEventsResult([asset_event(event) for event in found if _has(event.extra, wanted)]))


def _has(extra: Mapping[str, object] | None, wanted: Mapping[str, str]) -> bool:
    return all((extra or {}).get(key) == value for key, value in wanted.items())


HANDLERS = [by_name, by_uri, by_alias, events, events_by_alias]
