"""What every message module must hold, whatever its messages are about."""

from types import ModuleType

import msgspec
import pytest

from protocol.messages.shape import Message, StrictMessage
from tests.protocol.samples import as_map, bare, full


def messages_of(module: ModuleType) -> list[type[Message]]:
    """The messages a module defines itself."""
    found = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Message)]
    return [message for message in found if message.__module__ == module.__name__]


def exercise_messages(module: ModuleType, strict: set[str]) -> None:
    """Each message survives the wire, full and bare; those in `strict`, and no others, refuse an unknown key."""
    messages = messages_of(module)
    assert messages
    for message in messages:
        for sample in (full(message), bare(message)):
            body = as_map(sample)
            assert body["type"] == message.__name__
            assert msgspec.convert(body, message, builtin_types=()) == sample
        surplus = as_map(full(message)) | {"added_later": 1}
        if message.__name__ in strict:
            assert issubclass(message, StrictMessage)
            with pytest.raises(msgspec.ValidationError, match="added_later"):
                msgspec.convert(surplus, message)
        else:
            assert msgspec.convert(surplus, message) == full(message)
    assert strict <= {message.__name__ for message in messages}
