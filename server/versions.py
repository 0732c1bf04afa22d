"""The dated versions of the execution API, and how a reply of today becomes one of an older date.

A client says its date in `Airflow-API-Version` and gets the shape of the nearest date that is not newer; the header it
sent is echoed. Served are the dates whose shapes can be given truthfully. The dates before 2026-04-06 are not: there
the arguments of a deferred task were serialised in another way, which a server that keeps them unread cannot give
back.
"""

from bisect import bisect_right
from datetime import date
from typing import Any

import msgspec

from protocol.changes import Step, both, drop, within
from protocol.messages.runs import DagRun
from protocol.messages.startup import TIRunContext

HEAD = "2026-10-30"
SERVED = ("2026-04-06", "2026-06-30", HEAD)

_run_of_april = both(drop("team_name", "partition_date"), within("consumed_asset_events", drop("partition_key")))

# For each date but the newest, what the date after it added, by the type of the reply.
STEPS: dict[str, dict[type, Step]] = {
    "2026-06-30": {
        TIRunContext: drop("loop", "arg_bindings", "multi_team", "first_task_reschedule_start_date"),
    },
    "2026-04-06": {
        DagRun: _run_of_april,
        TIRunContext: within("dag_run", _run_of_april),
    },
}


class UnknownVersion(ValueError):
    """A version header that cannot be served, and the status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def served(asked: str) -> str:
    """Give the version to serve for a header: 404 when it is older than the first, 422 when it is no date."""
    if asked in SERVED:
        return asked
    try:
        # Of the forms that Python reads as a date, only the one with dashes is one here.
        parsed = date.fromisoformat(asked) if asked.count("-") == 2 else None  # noqa: PLR2004 - YYYY-MM-DD
    except ValueError:
        parsed = None
    if parsed is None:
        raise UnknownVersion(422, f"the version must be a date, YYYY-MM-DD; {asked[:50]!r} is none")
    if parsed.isoformat() < SERVED[0]:
        raise UnknownVersion(404, f"version {asked} is older than {SERVED[0]}, the first that is served")
    return SERVED[bisect_right(SERVED, parsed.isoformat()) - 1]


def dress(reply: msgspec.Struct, version: str) -> Any:  # noqa: ANN401 - a struct, or the map of an older shape
    """Give a reply the shape of a version."""
    if version == HEAD:
        return reply
    body = msgspec.to_builtins(reply)
    for older in reversed(SERVED[SERVED.index(version) : -1]):
        step = STEPS[older].get(type(reply))
        body = step(body) if step else body
    return body
