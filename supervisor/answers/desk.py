"""What a handler may reach: the API in the attempt's name, and the attempt itself."""

from typing import Protocol
from uuid import UUID

from protocol.messages.checkpoints import StopRequest
from protocol.messages.control import ErrorResponse
from protocol.messages.shape import Message
from supervisor.api import AttemptApi


class Keeping(Protocol):
    """One attempt, as the keeping of its checkpoints sees it."""

    @property
    def api(self) -> AttemptApi:
        """The API, with this attempt's token."""

    @property
    def ti_id(self) -> UUID:
        """Whose questions these are."""

    @property
    def extended(self) -> bool:
        """Whether the server is one of ours, and knows more than Airflow's."""

    def saved(self) -> None:
        """Note that there is a checkpoint to resume from."""

    def stop_request(self) -> StopRequest | None:
        """Give the stop that is under way."""


class Desk(Keeping, Protocol):
    """One attempt, as its questions see it."""

    async def speak(self, message: Message) -> ErrorResponse | None:
        """Take the task's word on how it ended, and tell the server."""

    def limit(self, seconds: float) -> None:
        """Set the execution timeout."""

    def progress(self) -> None:
        """Note a sign of life."""

    def log_channel(self) -> int | None:
        """Open a further log channel: the child's end, to be passed on and closed. None where there are too many."""

    def mask(self, value: object) -> None:
        """Hide a value, and every text within it, in this attempt's log from now on."""
