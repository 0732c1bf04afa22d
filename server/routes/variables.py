"""Variables and connections, as tasks use them."""

from typing import Annotated

from litestar import delete, get, put
from litestar.params import FromPath, JSONBody, QueryParameter

from protocol.http.values import VariablePostBody
from protocol.messages.startup import ConnectionResponse, VariableResponse
from protocol.messages.variables import VariableKeysResult
from server.admission import TASK, Call
from server.refusals import refused
from server.routes.answers import refusals
from server.views import plain


@get("/connections/{conn_id:str}", opt=TASK, responses=refusals(), summary="Read a connection")
async def connection(request: Call, conn_id: FromPath[str]) -> ConnectionResponse:
    """Give a connection, with its secrets."""
    found = await request.deck.store.get_connection(conn_id)
    if found is None:
        raise refused(404, "not_found", f"Connection with ID {conn_id} not found")
    return ConnectionResponse(
        found.conn_id,
        found.conn_type,
        found.host,
        found.schema,
        found.login,
        found.password,
        found.port,
        found.extra,
    )


@get("/variables/keys", opt=TASK, responses=refusals(), summary="List variables")
async def keys(
    request: Call,
    prefix: Annotated[str | None, QueryParameter(max_length=250)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=10_000)] = 1000,
    offset: Annotated[int, QueryParameter(ge=0, le=2**31 - 1)] = 0,
) -> VariableKeysResult:
    """Give a page of keys in their order."""
    found, total = await request.deck.store.variable_keys(prefix, limit, offset)
    return plain(VariableKeysResult(found, total))


@get("/variables/{key:str}", opt=TASK, responses=refusals(), summary="Read a variable")
async def read(request: Call, key: FromPath[str]) -> VariableResponse:
    """Give a variable."""
    found = await request.deck.store.get_variable(key)
    if found is None:
        raise refused(404, "not_found", f"Variable with key '{key}' not found")
    return VariableResponse(found.key, found.value)


@put("/variables/{key:str}", opt=TASK, status_code=201, responses=refusals(), summary="Write a variable")
async def write(request: Call, key: FromPath[str], data: JSONBody[VariablePostBody]) -> dict[str, str]:
    """Write a variable, or write it anew."""
    await request.deck.store.set_variable(key, data.val, data.description)
    return {"message": "Variable successfully set"}


@delete("/variables/{key:str}", opt=TASK, status_code=204, responses=refusals(), summary="Remove a variable")
async def remove(request: Call, key: FromPath[str]) -> None:
    """Remove a variable; an absent one is fine."""
    await request.deck.store.delete_variable(key)


HANDLERS = [connection, keys, read, write, remove]
