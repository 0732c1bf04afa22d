"""The state stores, of task instances and of assets."""

from uuid import UUID

from protocol.http.values import AssetStateStorePutBody, StateStoreResponse, TaskStateStorePutBody
from protocol.messages.control import OKResponse
from protocol.messages.stores import (
    AssetStateStoreResult,
    ClearAssetStateStoreByName,
    ClearAssetStateStoreByUri,
    ClearTaskStateStore,
    DeleteAssetStateStoreByName,
    DeleteAssetStateStoreByUri,
    DeleteTaskStateStore,
    GetAssetStateStoreByName,
    GetAssetStateStoreByUri,
    GetTaskStateStore,
    SetAssetStateStoreByName,
    SetAssetStateStoreByUri,
    SetTaskStateStore,
    TaskStateStoreResult,
)
from supervisor.answers.desk import Desk
from supervisor.paths import path, query

OK = OKResponse(ok=True)


async def get_value(desk: Desk, message: GetTaskStateStore) -> TaskStateStoreResult:
    """A value of a task instance's store."""
    found = await desk.api.get(_place(message.ti_id, message.key), StateStoreResponse)
    return TaskStateStoreResult(found.value)


async def set_value(desk: Desk, message: SetTaskStateStore) -> OKResponse:
    """Write one."""
    body = TaskStateStorePutBody(message.value, message.expires_at)
    await desk.api.do("PUT", _place(message.ti_id, message.key), body)
    return OK


async def delete_value(desk: Desk, message: DeleteTaskStateStore) -> OKResponse:
    """Remove one."""
    await desk.api.do("DELETE", _place(message.ti_id, message.key))
    return OK


async def clear(desk: Desk, message: ClearTaskStateStore) -> OKResponse:
    """Remove all of them."""
    await desk.api.do("DELETE", path("store", "ti", message.ti_id))
    return OK


async def get_asset_value_by_name(desk: Desk, message: GetAssetStateStoreByName) -> AssetStateStoreResult:
    """A value of an asset's store."""
    found = await desk.api.get(_by_name(message.name, message.key), StateStoreResponse)
    return AssetStateStoreResult(found.value)


async def get_asset_value_by_uri(desk: Desk, message: GetAssetStateStoreByUri) -> AssetStateStoreResult:
    """A value of an asset's store."""
    found = await desk.api.get(_by_uri(message.uri, message.key), StateStoreResponse)
    return AssetStateStoreResult(found.value)


async def set_asset_value_by_name(desk: Desk, message: SetAssetStateStoreByName) -> OKResponse:
    """Write one."""
    await desk.api.do("PUT", _by_name(message.name, message.key), AssetStateStorePutBody(message.value))
    return OK


async def set_asset_value_by_uri(desk: Desk, message: SetAssetStateStoreByUri) -> OKResponse:
    """Write one."""
    await desk.api.do("PUT", _by_uri(message.uri, message.key), AssetStateStorePutBody(message.value))
    return OK


async def delete_asset_value_by_name(desk: Desk, message: DeleteAssetStateStoreByName) -> OKResponse:
    """Remove one."""
    await desk.api.do("DELETE", _by_name(message.name, message.key))
    return OK


async def delete_asset_value_by_uri(desk: Desk, message: DeleteAssetStateStoreByUri) -> OKResponse:
    """Remove one."""
    await desk.api.do("DELETE", _by_uri(message.uri, message.key))
    return OK


async def clear_asset_by_name(desk: Desk, message: ClearAssetStateStoreByName) -> OKResponse:
    """Remove all of them."""
    await desk.api.do("DELETE", path("store", "asset", "by-name", "clear") + query(name=message.name))
    return OK


async def clear_asset_by_uri(desk: Desk, message: ClearAssetStateStoreByUri) -> OKResponse:
    """Remove all of them."""
    await desk.api.do("DELETE", path("store", "asset", "by-uri", "clear") + query(uri=message.uri))
    return OK


def _place(ti_id: UUID, key: str) -> str:
    return path("store", "ti", ti_id, key)


def _by_name(name: str, key: str) -> str:
    return path("store", "asset", "by-name", "value") + query(name=name, key=key)


def _by_uri(uri: str, key: str) -> str:
    return path("store", "asset", "by-uri", "value") + query(uri=uri, key=key)
