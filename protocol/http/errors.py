"""Error bodies: always `{"detail": …}`, in one of three forms.

A map with `reason` and `message` says what the request could not do, and more where there is more to say. A text says
that the token was not good enough. A list names each fault of a request that could not be understood.
"""

from typing import Any

from protocol.messages.shape import Model


class Refusal(Model, frozen=True):
    """The fields of a `detail` map that a client may act on; it may have more."""

    reason: str
    message: str
    previous_state: str | None = None
    current_state: str | None = None
    current_hostname: str | None = None
    current_pid: int | None = None
    stop_reason: str | None = None
    """Why people or the server ended an attempt that still runs, as a heartbeat's refusal says. Taskhand's own."""


class Fault(Model, frozen=True):
    """One fault of a request: where (`body`, `query`, `path` or `header`, then the key), and what is wrong there."""

    type: str
    loc: list[str | int]
    msg: str
    input: Any = None


class ErrorBody(Model, frozen=True):
    """The body of every answer from 400 on."""

    detail: str | list[Fault] | dict[str, Any]


def refusal(body: ErrorBody) -> Refusal:
    """Read a `detail` of any form as a refusal, so that whoever acts on it need not look at its form."""
    match body.detail:
        case str(text):
            return Refusal("", text)
        case list(faults):
            return Refusal("invalid", "; ".join(f"{'.'.join(map(str, fault.loc))}: {fault.msg}" for fault in faults))
        case detail:
            known = {name: detail[name] for name in Refusal.__struct_fields__ if name in detail}
            return Refusal(**{"reason": "", "message": "", **known})
