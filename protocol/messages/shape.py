"""The shapes a message can have.

Three policies differ between messages and are inherited, so that each message states only its fields:
what happens to an unknown key (ignored, or refused by the strict shapes), whether a field that was never set is left
out (sparse) or sent with its default, and the `type` key that names the message.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any

from msgspec import Meta, Struct

Json = Annotated[Any, Meta(extra_json_schema={"$ref": "#/$defs/JsonValue"})]
"""Any JSON value. On the wire it may also hold timestamps and bytes, which JSON has no form for."""

Aware = Annotated[datetime, Meta(tz=True)]
"""A moment with a time zone: a msgpack timestamp, or an RFC 3339 string with an offset."""

Moment = Annotated[datetime, Meta(extra_json_schema={"format": "date-time"})]
"""A moment with or without a time zone; without one it is always a string."""

Duration = timedelta | float
"""An ISO 8601 duration string, or a number of seconds; we write the string."""


class Model(Struct, frozen=True, gc=False):
    """A part of a message. Unknown keys are ignored."""


class StrictModel(Model, frozen=True, forbid_unknown_fields=True):
    """A part of a message that refuses unknown keys, so that nothing may be added to it."""


class SparseModel(Model, frozen=True, omit_defaults=True):
    """A part of a message whose unset fields are left out."""


class Message(Struct, frozen=True, gc=False, tag_field="type", tag=True):
    """A frame's body, named by its `type` key. Unknown keys are ignored."""


class StrictMessage(Message, frozen=True, forbid_unknown_fields=True):
    """A message that refuses unknown keys."""


class SparseMessage(Message, frozen=True, omit_defaults=True):
    """A message whose unset fields are left out."""
