"""Steps between dated versions of the wire.

A message is defined once, as the newest version has it. What an older version lacked is a `Change` beside the message
it concerns: `down` takes a body of this version to the version before it, `up` the other way. Bodies are plain maps
here, as msgpack gives them, because an older shape has no class. `protocol.versions` chains the steps.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

Body = dict[str, Any]
Step = Callable[[Body], Body]


class Change(Struct, frozen=True):
    """What one dated version changed in one message."""

    since: str
    message: type[Struct]
    down: Step | None
    """None: the message did not exist before `since`."""
    up: Step | None = None
    """None: every field that is new has a default, so an older body is a newer one already."""


def drop(*fields: str) -> Step:
    """Give the step that takes away fields an older version did not have."""

    def step(body: Body) -> Body:
        return {key: value for key, value in body.items() if key not in fields}

    return step


def within(field: str, step: Step) -> Step:
    """Apply a step to the map (or each map of the list) under one field, when it is there."""

    def outer(body: Body) -> Body:
        inner = body.get(field)
        if isinstance(inner, dict):
            return {**body, field: step(inner)}
        if isinstance(inner, list):
            return {**body, field: [step(item) for item in inner]}
        return body

    return outer


def both(*steps: Step) -> Step:
    """Apply several steps in order."""

    def step(body: Body) -> Body:
        for each in steps:
            body = each(body)
        return body

    return step
