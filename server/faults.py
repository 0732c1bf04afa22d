"""What can be wrong, by whose fault it is.

`NotFound`, `Archived`, `Conflict` and `Refused` are the caller's, each with a reason from the wire's vocabulary;
`StoreBroken` is ours. No error of a database library leaves a store.
"""

from protocol.messages.shape import Json


class StoreError(Exception):
    """Anything a store raises."""


class CallerError(StoreError):
    """The caller asked for what cannot be had; nothing was written."""

    def __init__(self, reason: str, message: str, **detail: Json) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.detail = detail


class NotFound(CallerError):
    """There is no such thing, and never was as far as is known."""

    def __init__(self, what: str, name: object) -> None:
        super().__init__("not_found", f"{what} {name!s} is not known")


class Archived(CallerError):
    """The attempt existed and was replaced. A heartbeat answers 410 to this, an outcome 404."""

    def __init__(self, ti_id: str, state: str) -> None:
        super().__init__("not_found", f"attempt {ti_id} was replaced; it ended as {state}", state=state)
        self.state = state


class Conflict(CallerError):
    """It does not fit what is in force: `invalid_state`, `running_elsewhere`, `not_running`, `already_exists`."""


class Refused(CallerError):
    """What was sent cannot be taken: `too_large`, `invalid_key`, `value_error` and such."""


class StoreBroken(StoreError):
    """The database failed us."""


class StoreFull(StoreBroken):
    """The database has no room. Nothing was written; what is asked again later may be."""


class StoreLocked(StoreBroken):
    """Another process has the database locked, for longer than is waited for. Nothing was written."""


class NewerSchema(StoreBroken):
    """The database was written by a newer version, which this one must not touch."""
