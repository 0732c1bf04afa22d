"""The state stores: small values that outlive the attempt, per task instance and per asset."""

from uuid import UUID

from protocol.messages.shape import Aware, Json, Message, StrictMessage


class GetTaskStateStore(Message, frozen=True):
    """Ask for a value of this task instance's store. It is shared by all its attempts."""

    ti_id: UUID
    key: str


class TaskStateStoreResult(StrictMessage, frozen=True):
    """A stored value."""

    value: Json | None


class SetTaskStateStore(Message, frozen=True):
    """Write a value, with the moment it expires or nil for never."""

    ti_id: UUID
    key: str
    value: Json
    expires_at: Aware | None


class DeleteTaskStateStore(Message, frozen=True):
    """Remove one value."""

    ti_id: UUID
    key: str


class ClearTaskStateStore(Message, frozen=True):
    """Remove all values of this task instance's store."""

    ti_id: UUID


class GetAssetStateStoreByName(Message, frozen=True):
    """Ask for a value of an asset's store."""

    name: str
    key: str


class GetAssetStateStoreByUri(Message, frozen=True):
    """Ask for a value of an asset's store."""

    uri: str
    key: str


class AssetStateStoreResult(StrictMessage, frozen=True):
    """A stored value."""

    value: Json | None


class SetAssetStateStoreByName(Message, frozen=True):
    """Write a value of an asset's store."""

    name: str
    key: str
    value: Json


class SetAssetStateStoreByUri(Message, frozen=True):
    """Write a value of an asset's store."""

    uri: str
    key: str
    value: Json


class DeleteAssetStateStoreByName(Message, frozen=True):
    """Remove one value of an asset's store."""

    name: str
    key: str


class DeleteAssetStateStoreByUri(Message, frozen=True):
    """Remove one value of an asset's store."""

    uri: str
    key: str


class ClearAssetStateStoreByName(Message, frozen=True):
    """Remove all values of an asset's store."""

    name: str


class ClearAssetStateStoreByUri(Message, frozen=True):
    """Remove all values of an asset's store."""

    uri: str
