"""A human in the loop: a question for people, and what they answered."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from protocol.messages.shape import Aware, Message, Model, SparseMessage

Options = Annotated[list[str], Meta(min_length=1)]


class HITLUser(Model, frozen=True):
    """A person."""

    id: str
    name: str


class CreateHITLDetailPayload(Message, frozen=True):
    """Put a question to people. Asking again under the same task instance wipes an earlier answer."""

    ti_id: UUID
    options: Options
    subject: str
    body: str | None = None
    defaults: list[str] | None = None
    multiple: bool | None = False
    params: dict[str, Any] | None = None
    assigned_users: list[HITLUser] | None = None


class HITLDetailRequestResult(SparseMessage, frozen=True):
    """The question as the server recorded it."""

    ti_id: UUID
    options: Options
    subject: str
    body: str | None = None
    defaults: list[str] | None = None
    multiple: bool | None = False
    params: dict[str, Any] | None = None
    assigned_users: list[HITLUser] | None = None


class GetHITLDetailResponse(Message, frozen=True):
    """Ask what was answered."""

    ti_id: UUID


class UpdateHITLDetail(Message, frozen=True):
    """Answer for the people, as a time-out does with the defaults."""

    ti_id: UUID
    chosen_options: Options
    params_input: dict[str, Any] | None = None


class HITLDetailResponseResult(SparseMessage, frozen=True):
    """What was answered, when and by whom, or that nothing was yet."""

    response_received: bool
    responded_at: Aware | None
    chosen_options: list[str] | None
    responded_by_user: HITLUser | None = None
    params_input: dict[str, Any] | None = None
