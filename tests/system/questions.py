"""Questions that need the server, by a name that fits into a task's id."""

from collections.abc import Callable

from protocol.messages.checkpoints import GetCheckpoint, SaveCheckpoint
from protocol.messages.shape import Message
from protocol.messages.variables import GetConnection, GetVariable, PutVariable
from protocol.messages.xcoms import GetXCom, SetXCom

QUESTIONS: dict[str, Callable[[], Message]] = {
    "variable": lambda: GetVariable("k"),
    "set-variable": lambda: PutVariable("k", "v", None),
    "connection": lambda: GetConnection("c"),
    "xcom": lambda: GetXCom("k", "d", "r", "t"),
    "set-xcom": lambda: SetXCom("k", 1, "d", "r", "t"),
    "save": lambda: SaveCheckpoint(data={"step": 1}),
    "checkpoint": GetCheckpoint,
}
