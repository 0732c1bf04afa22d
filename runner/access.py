"""What a task may read and write while it runs: XComs, variables, connections, its state store.

Each method is one question and what its answer means in Python: an absent thing is a default or a `NotFound`, a refused
one is `Refused`, and a question that failed raises from within `ask`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from protocol.messages.control import ErrorResponse, ErrorType
from protocol.messages.shape import Message
from protocol.messages.startup import TaskInstance
from protocol.messages.stores import (
    ClearTaskStateStore,
    DeleteTaskStateStore,
    GetTaskStateStore,
    SetTaskStateStore,
    TaskStateStoreResult,
)
from protocol.messages.variables import (
    ConnectionResult,
    DeleteVariable,
    GetConnection,
    GetVariable,
    GetVariableKeys,
    PutVariable,
    VariableKeysResult,
    VariableResult,
)
from protocol.messages.xcoms import (
    DeleteXCom,
    GetXCom,
    GetXComSequenceItem,
    GetXComSequenceSlice,
    SetXCom,
    XComResult,
    XComSequenceIndexResult,
    XComSequenceSliceResult,
)
from runner.faults import AnswerLost, NotFound, Refused

Ask = Callable[[Message], Message | None]
RETURN_VALUE = "return_value"
"""The key under which what a task returned is kept."""
ReplyT = TypeVar("ReplyT", bound=Message)
REQUIRED: Any = object()
"""Stands for no default: what is absent raises."""


def expect(reply: Message | None, wanted: type[ReplyT]) -> ReplyT:
    """Give the reply that was wanted, or raise what came in its place."""
    if isinstance(reply, wanted):
        return reply
    if isinstance(reply, ErrorResponse):
        raise (Refused if reply.error is ErrorType.PERMISSION_DENIED else NotFound)(reply)
    raise AnswerLost(f"expected {wanted.__name__}, came {'nothing' if reply is None else type(reply).__name__}")


class XComs:
    """What tasks of a run hand to each other."""

    def __init__(self, ask: Ask, instance: TaskInstance) -> None:
        self._ask = ask
        self._instance = instance

    def get(self, task_id: str, key: str = RETURN_VALUE, *, map_index: int | None = None) -> Any:  # noqa: ANN401 - JSON
        """Give a value of a task of this run; None when there is none."""
        own = self._instance
        asked = GetXCom(key, own.dag_id, own.run_id, task_id, map_index)
        return expect(self._ask(asked), XComResult).value

    def item(self, task_id: str, offset: int, key: str = RETURN_VALUE) -> Any:  # noqa: ANN401 - JSON
        """Give the value of one instance of a mapped task, counted in their order, from the end when negative."""
        own = self._instance
        asked = GetXComSequenceItem(key, own.dag_id, own.run_id, task_id, offset)
        return expect(self._ask(asked), XComSequenceIndexResult).root

    def all(self, task_id: str, key: str = RETURN_VALUE) -> list[Any]:
        """Give the values of all instances of a mapped task, in their order."""
        own = self._instance
        asked = GetXComSequenceSlice(key, own.dag_id, own.run_id, task_id, None, None, None)
        return expect(self._ask(asked), XComSequenceSliceResult).root

    def set(self, key: str, value: Any, *, mapped_length: int | None = None) -> None:  # noqa: ANN401 - JSON
        """Write a value of this task."""
        own = self._instance
        self._ask(SetXCom(key, value, own.dag_id, own.run_id, own.task_id, own.map_index, mapped_length=mapped_length))

    def delete(self, key: str) -> None:
        """Remove a value of this task; one that is absent is fine."""
        own = self._instance
        self._ask(DeleteXCom(key, own.dag_id, own.run_id, own.task_id, own.map_index))


class Variables:
    """Settings that people change without changing code."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def get(self, key: str, default: Any = REQUIRED) -> Any:  # noqa: ANN401 - a string, or the default
        """Give a variable's value."""
        try:
            return expect(self._ask(GetVariable(key)), VariableResult).value
        except NotFound:
            if default is REQUIRED:
                raise
            return default

    def set(self, key: str, value: str | None, description: str | None = None) -> None:
        """Write a variable."""
        self._ask(PutVariable(key, value, description))

    def delete(self, key: str) -> None:
        """Remove a variable."""
        self._ask(DeleteVariable(key))

    def keys(self, prefix: str | None = None) -> list[str]:
        """Give the keys of all variables, or of those that begin so."""
        found: list[str] = []
        while True:
            page = expect(self._ask(GetVariableKeys(prefix, offset=len(found))), VariableKeysResult)
            found += page.keys
            if not page.keys or len(found) >= page.total_entries:
                return found


class Connections:
    """How to reach other systems. Passwords are masked in the attempt's log."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def get(self, conn_id: str) -> ConnectionResult:
        """Give a connection."""
        return expect(self._ask(GetConnection(conn_id)), ConnectionResult)


class State:
    """Small values that outlive the attempt: one store for the task instance, whichever attempt runs."""

    def __init__(self, ask: Ask, instance: TaskInstance) -> None:
        self._ask = ask
        self._id = instance.id

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - JSON
        """Give a value; an absent or expired one is the default."""
        try:
            return expect(self._ask(GetTaskStateStore(self._id, key)), TaskStateStoreResult).value
        except NotFound:
            return default

    def set(self, key: str, value: Any, *, expires: datetime | timedelta | None = None) -> None:  # noqa: ANN401 - JSON
        """Write a value, for good or until a moment or for a time."""
        moment = datetime.now(UTC) + expires if isinstance(expires, timedelta) else expires
        self._ask(SetTaskStateStore(self._id, key, value, moment))

    def delete(self, key: str) -> None:
        """Remove a value; one that is absent is fine."""
        self._ask(DeleteTaskStateStore(self._id, key))

    def clear(self) -> None:
        """Remove all values."""
        self._ask(ClearTaskStateStore(self._id))
