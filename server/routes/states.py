"""The state stores: of a task instance, over all its attempts, and of an asset."""

from litestar import delete, get, put
from litestar.params import FromPath, FromQuery, JSONBody

from protocol.http.errors import Fault
from protocol.http.values import AssetStateStorePutBody, StateStoreResponse, TaskStateStorePutBody
from protocol.messages.shape import Json
from server.admission import OWN, TASK, Call, TiId
from server.records import Asset
from server.refusals import invalid, refused
from server.routes.answers import refusals


@get("/store/ti/{ti_id:str}/{key:str}", opt=OWN, responses=refusals(410), summary="Read a value of the task")
async def read(request: Call, ti_id: TiId, key: FromPath[str]) -> StateStoreResponse:
    """Give a value; one that expired is gone."""
    value = await request.deck.store.get_state(ti_id, key, request.now)
    if value is None:
        raise refused(404, "not_found", f"the task has no value {key!r}")
    return StateStoreResponse(value)


@put("/store/ti/{ti_id:str}/{key:str}", opt=OWN, status_code=204, responses=refusals(410))
async def write(request: Call, ti_id: TiId, key: FromPath[str], data: JSONBody[TaskStateStorePutBody]) -> None:
    """Write a value."""
    await request.deck.store.set_state(ti_id, key, _something(data.value), data.expires_at)


@delete("/store/ti/{ti_id:str}/{key:str}", opt=OWN, status_code=204, responses=refusals(410))
async def remove(request: Call, ti_id: TiId, key: FromPath[str]) -> None:
    """Remove a value; an absent one is fine."""
    await request.deck.store.delete_state(ti_id, key)


@delete("/store/ti/{ti_id:str}", opt=OWN, status_code=204, responses=refusals(410))
async def clear(request: Call, ti_id: TiId) -> None:
    """Remove all values of the task."""
    await request.deck.store.delete_state(ti_id, None)


def _something(value: Json) -> Json:
    if value is None:
        raise invalid(Fault("value_error", ["body", "value"], "null cannot be told from absent"))
    return value


async def _asset(request: Call, *, name: str | None = None, uri: str | None = None) -> Asset:
    found = await request.deck.store.get_asset(name=name, uri=uri)
    if found is None:
        raise refused(404, "not_found", f"there is no asset {name or uri!r}")
    return found


async def _read(request: Call, asset: Asset, key: str) -> StateStoreResponse:
    value = await request.deck.store.get_asset_state(asset.key, key)
    if value is None:
        raise refused(404, "not_found", f"asset {asset.name!r} has no value {key!r}")
    return StateStoreResponse(value)


@get("/store/asset/by-name/value", opt=TASK, responses=refusals(), summary="Read a value of an asset")
async def read_by_name(request: Call, name: FromQuery[str], key: FromQuery[str]) -> StateStoreResponse:
    """Give a value of the asset of this name."""
    return await _read(request, await _asset(request, name=name), key)


@get("/store/asset/by-uri/value", opt=TASK, responses=refusals(), summary="Read a value of an asset")
async def read_by_uri(request: Call, uri: FromQuery[str], key: FromQuery[str]) -> StateStoreResponse:
    """Give a value of the asset of this URI."""
    return await _read(request, await _asset(request, uri=uri), key)


@put("/store/asset/by-name/value", opt=TASK, status_code=204, responses=refusals())
async def write_by_name(
    request: Call, name: FromQuery[str], key: FromQuery[str], data: JSONBody[AssetStateStorePutBody]
) -> None:
    """Write a value of the asset of this name."""
    asset = await _asset(request, name=name)
    await request.deck.store.set_asset_state(asset.key, key, _something(data.value))


@put("/store/asset/by-uri/value", opt=TASK, status_code=204, responses=refusals())
async def write_by_uri(
    request: Call, uri: FromQuery[str], key: FromQuery[str], data: JSONBody[AssetStateStorePutBody]
) -> None:
    """Write a value of the asset of this URI."""
    asset = await _asset(request, uri=uri)
    await request.deck.store.set_asset_state(asset.key, key, _something(data.value))


@delete("/store/asset/by-name/value", opt=TASK, status_code=204, responses=refusals())
async def remove_by_name(request: Call, name: FromQuery[str], key: FromQuery[str]) -> None:
    """Remove a value of the asset of this name; an absent one is fine."""
    await request.deck.store.delete_asset_state((await _asset(request, name=name)).key, key)


@delete("/store/asset/by-uri/value", opt=TASK, status_code=204, responses=refusals())
async def remove_by_uri(request: Call, uri: FromQuery[str], key: FromQuery[str]) -> None:
    """Remove a value of the asset of this URI; an absent one is fine."""
    await request.deck.store.delete_asset_state((await _asset(request, uri=uri)).key, key)


@delete("/store/asset/by-name/clear", opt=TASK, status_code=204, responses=refusals())
async def clear_by_name(request: Call, name: FromQuery[str]) -> None:
    """Remove all values of the asset of this name."""
    await request.deck.store.delete_asset_state((await _asset(request, name=name)).key, None)


@delete("/store/asset/by-uri/clear", opt=TASK, status_code=204, responses=refusals())
async def clear_by_uri(request: Call, uri: FromQuery[str]) -> None:
    """Remove all values of the asset of this URI."""
    await request.deck.store.delete_asset_state((await _asset(request, uri=uri)).key, None)


HANDLERS = [
    read,
    write,
    remove,
    clear,
    read_by_name,
    read_by_uri,
    write_by_name,
    write_by_uri,
    remove_by_name,
    remove_by_uri,
    clear_by_name,
    clear_by_uri,
]
