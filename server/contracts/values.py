"""What tasks leave for each other and for later."""

from datetime import datetime
from typing import Any, Protocol

from protocol.messages.shape import Json
from server.filters import AssetEventFilter, XComName
from server.records import Asset, AssetEvent, Connection, Question, Variable, XCom


class Values(Protocol):
    """What tasks leave for each other and for later."""

    async def set_xcom(
        self, name: XComName, value: Json, *, mapped_length: int | None = None, by: str | None = None
    ) -> None:
        """Write a value, or replace it. Unknown task: `NotFound`. `by` an attempt: a replaced one may not."""
        ...

    async def get_xcom(self, name: XComName, *, include_prior_dates: bool = False) -> XCom | None:
        """Give one value; with prior dates, that of the latest run up to this one which has it."""
        ...

    async def get_xcoms(self, name: XComName, *, include_prior_dates: bool = False) -> list[XCom]:
        """Give the values of all map indexes in their order; slices and items are cut from this."""
        ...

    async def count_xcoms(self, name: XComName) -> int:
        """Give how many map indexes wrote a key."""
        ...

    async def delete_xcom(self, name: XComName, *, by: str | None = None) -> None:
        """Remove a value; an absent one is fine."""
        ...

    async def get_variable(self, key: str) -> Variable | None:
        """Give a variable."""
        ...

    async def set_variable(self, key: str, value: str | None, description: str | None) -> None:
        """Write a variable."""
        ...

    async def delete_variable(self, key: str) -> bool:
        """Remove a variable; says whether it was there."""
        ...

    async def variable_keys(self, prefix: str | None, limit: int, offset: int) -> tuple[list[str], int]:
        """Give a page of keys in their order, and how many there are in all."""
        ...

    async def get_connection(self, conn_id: str) -> Connection | None:
        """Give a connection."""
        ...

    async def set_connection(self, connection: Connection) -> None:
        """Write a connection."""
        ...

    async def delete_connection(self, conn_id: str) -> bool:
        """Remove a connection; says whether it was there."""
        ...

    async def connection_ids(self) -> list[str]:
        """Give the ids of all connections."""
        ...

    async def seal_anew(self) -> int:
        """Seal what is plain or under an older key; gives how many are sealed and opened by no key. Those stay."""
        ...

    async def get_state(self, ti_id: str, key: str, now: datetime) -> Json | None:
        """Give a value of the task state store; None when missing or expired. It is shared by all attempts."""
        ...

    async def set_state(self, ti_id: str, key: str, value: Json, expires: datetime | None) -> None:
        """Write a value of the task state store; one that expires is gone from then on."""
        ...

    async def delete_state(self, ti_id: str, key: str | None) -> None:
        """Remove one value, or all of them."""
        ...

    async def get_asset(self, *, name: str | None = None, uri: str | None = None) -> Asset | None:
        """Find an asset by its name, its URI, or both."""
        ...

    async def assets_of_alias(self, alias: str) -> list[Asset]:
        """Give the assets an alias stands for."""
        ...

    async def set_asset(self, name: str, uri: str, group: str = "asset", extra: dict[str, Any] | None = None) -> Asset:
        """Make an asset known, or change what is known of it."""
        ...

    async def asset_events(self, which: AssetEventFilter) -> list[AssetEvent]:
        """Give the events of these assets."""
        ...

    async def get_asset_state(self, asset: int, key: str) -> Json | None:
        """Give a value of an asset's store; None when missing."""
        ...

    async def set_asset_state(self, asset: int, key: str, value: Json) -> None:
        """Write a value of an asset's store."""
        ...

    async def delete_asset_state(self, asset: int, key: str | None) -> None:
        """Remove one value of an asset's store, or all of them."""
        ...

    async def ask_people(self, ti_id: str, question: Question) -> Question:
        """Put a question; asked again it wipes an earlier answer."""
        ...

    async def question(self, ti_id: str) -> Question | None:
        """Give the question this instance put, with its answer when there is one."""
        ...

    async def answer_question(
        self, ti_id: str, chosen: list[str], params: dict[str, Any], by: dict[str, str] | None, now: datetime
    ) -> Question:
        """Answer once (else `Conflict`); an instance that waits for it is queued."""
        ...
