"""Variables, connections and XComs."""

import contextlib
import re

import msgspec

from protocol.http.values import VariablePostBody
from protocol.messages.control import OKResponse
from protocol.messages.shape import Json
from protocol.messages.variables import (
    ConnectionResult,
    DeleteVariable,
    GetConnection,
    GetVariable,
    GetVariableKeys,
    MaskSecret,
    PutVariable,
    VariableKeysResult,
    VariableResult,
)
from protocol.messages.xcoms import (
    DeleteXCom,
    GetXCom,
    GetXComCount,
    GetXComSequenceItem,
    GetXComSequenceSlice,
    SetXCom,
    XComCountResponse,
    XComResult,
    XComSequenceIndexResult,
    XComSequenceSliceResult,
)
from supervisor.answers.desk import Desk
from supervisor.api import ApiRefused
from supervisor.http1 import Answer
from supervisor.paths import path, query

NOT_FOUND = 404
SECRET_NAME = re.compile(
    "access|api_?key|authorization|passphrase|passwd|password|private_key|secret|token", re.IGNORECASE
)
"""Names whose values are secrets: those that Airflow masks by name."""


async def get_variable(desk: Desk, message: GetVariable) -> VariableResult:
    """A variable; one whose name says that it is a secret is masked before the child has it."""
    found = await desk.api.get(path("variables", message.key), VariableResult)
    if SECRET_NAME.search(message.key):
        desk.mask(found.value)
    return found


async def get_variable_keys(desk: Desk, message: GetVariableKeys) -> VariableKeysResult:
    """A page of keys."""
    page = query(limit=message.limit, offset=message.offset, prefix=message.prefix)
    return await desk.api.get(path("variables", "keys") + page, VariableKeysResult)


async def put_variable(desk: Desk, message: PutVariable) -> None:
    """Write a variable."""
    await desk.api.do("PUT", path("variables", message.key), VariablePostBody(message.value, message.description))


async def delete_variable(desk: Desk, message: DeleteVariable) -> OKResponse:
    """Remove a variable."""
    await desk.api.do("DELETE", path("variables", message.key))
    return OKResponse(ok=True)


async def mask_secret(desk: Desk, message: MaskSecret) -> None:
    """Local: the log is ours. The message itself is never written anywhere."""
    desk.mask(message.value)


async def get_connection(desk: Desk, message: GetConnection) -> ConnectionResult:
    """A connection; its password and what its extra holds are masked before the child has them."""
    found = await desk.api.get(path("connections", message.conn_id), ConnectionResult)
    desk.mask(found.password)
    with contextlib.suppress(msgspec.MsgspecError):
        desk.mask(msgspec.json.decode(found.extra or "null"))
    return found


async def get_xcom(desk: Desk, message: GetXCom) -> XComResult:
    """One value. An absent one is nil: absence is an answer here, not an error."""
    index = message.map_index if message.map_index is not None and message.map_index >= 0 else None
    asked = query(
        map_index=index,
        include_prior_dates=message.include_prior_dates or None,
        previous_iteration=message.previous_iteration or None,
    )
    try:
        return await desk.api.get(_xcom(message) + asked, XComResult)
    except ApiRefused as refused:
        if refused.status != NOT_FOUND:
            raise
        return XComResult(message.key, None)


async def set_xcom(desk: Desk, message: SetXCom) -> None:
    """Write one value, as it is."""
    asked = query(
        map_index=message.map_index, dag_result=message.dag_result or None, mapped_length=message.mapped_length
    )
    await desk.api.do("POST", _xcom(message) + asked, message.value)


async def delete_xcom(desk: Desk, message: DeleteXCom) -> None:
    """Remove one value."""
    await desk.api.do("DELETE", _xcom(message) + query(map_index=message.map_index))


async def get_xcom_count(desk: Desk, message: GetXComCount) -> XComCountResponse:
    """The number travels in a header: `Content-Range: map_indexes N`."""
    asked = query(previous_iteration=message.previous_iteration or None)
    return XComCountResponse(await desk.api.read("HEAD", _xcom(message) + asked, _count))


async def get_xcom_item(desk: Desk, message: GetXComSequenceItem) -> XComSequenceIndexResult:
    """The value at an offset; the body is bare."""
    asked = query(previous_iteration=message.previous_iteration or None)
    return XComSequenceIndexResult(await desk.api.get(f"{_xcom(message)}/item/{message.offset}{asked}", Json))


async def get_xcom_slice(desk: Desk, message: GetXComSequenceSlice) -> XComSequenceSliceResult:
    """Values; the body is a bare list."""
    asked = query(
        start=message.start,
        stop=message.stop,
        step=message.step,
        include_prior_dates=message.include_prior_dates or None,
        previous_iteration=message.previous_iteration or None,
    )
    return XComSequenceSliceResult(await desk.api.get(f"{_xcom(message)}/slice{asked}", list[Json]))


def _xcom(message: GetXCom | SetXCom | DeleteXCom | GetXComCount | GetXComSequenceItem | GetXComSequenceSlice) -> str:
    return path("xcoms", message.dag_id, message.run_id, message.task_id, message.key)


def _count(answer: Answer) -> int:
    unit, _, number = (answer.header(b"content-range") or "").partition(" ")
    if unit != "map_indexes":
        raise ValueError("no Content-Range with map_indexes")
    return int(number)
