"""Variables, connections, and the secrets among them."""

from protocol.messages.shape import Json, Message, SparseMessage, StrictMessage


class GetConnection(Message, frozen=True):
    """Ask for a connection."""

    conn_id: str


class ConnectionResult(SparseMessage, frozen=True):
    """A connection. Its password and extra are secrets and are masked in every log."""

    conn_id: str
    conn_type: str
    host: str | None
    schema: str | None
    login: str | None
    password: str | None
    port: int | None
    extra: str | None


class GetVariable(Message, frozen=True):
    """Ask for a variable."""

    key: str


class VariableResult(StrictMessage, frozen=True):
    """A variable."""

    key: str
    value: str | None


class GetVariableKeys(Message, frozen=True):
    """Ask for the keys of variables, a page at a time."""

    prefix: str | None = None
    limit: int = 1000
    offset: int = 0


class VariableKeysResult(SparseMessage, frozen=True):
    """A page of keys, and how many there are in all."""

    keys: list[str]
    total_entries: int


class PutVariable(Message, frozen=True):
    """Write a variable."""

    key: str
    value: str | None
    description: str | None


class DeleteVariable(Message, frozen=True):
    """Remove a variable."""

    key: str


class MaskSecret(Message, frozen=True):
    """Have a value hidden in this attempt's logs from now on. Its own body is never logged."""

    value: Json
    name: str | None = None
