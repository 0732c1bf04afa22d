"""What tasks hand to each other."""

from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, head, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from protocol.http.values import XComResponse
from server.admission import TASK, Call
from server.filters import XComName
from server.refusals import JSON, refused
from server.routes.answers import refusals

PATH = "/xcoms/{dag_id:str}/{run_id:str}/{task_id:str}/{key:str}"
MapIndex = Annotated[int, QueryParameter(ge=-1, le=2**31 - 1)]
Bound = Annotated[int | None, QueryParameter(ge=-(2**31), le=2**31 - 1)]


@get(PATH, opt=TASK, responses=refusals(), summary="Read an XCom")
async def read(
    request: Call,
    dag_id: FromPath[str],
    run_id: FromPath[str],
    task_id: FromPath[str],
    key: FromPath[str],
    map_index: MapIndex = -1,
    include_prior_dates: FromQuery[bool] = False,
    offset: Bound = None,
) -> XComResponse:
    """Give one value: of a map index, or at an offset into all of them."""
    store = request.deck.store
    name = XComName(dag_id=dag_id, run_id=run_id, task_id=task_id, key=key, map_index=map_index)
    if offset is not None:
        found = await store.get_xcoms(name, include_prior_dates=include_prior_dates)
        if -len(found) <= offset < len(found):
            return XComResponse(key, found[offset].value)
        raise _absent(name)
    one = await store.get_xcom(name, include_prior_dates=include_prior_dates)
    if one is None:
        raise _absent(name)
    return XComResponse(key, one.value)


def _absent(name: XComName) -> Exception:
    where = f"{name.dag_id}/{name.run_id}/{name.task_id}"
    return refused(404, "not_found", f"there is no XCom {name.key!r} of {where} at map index {name.map_index}")


@head(PATH, opt=TASK, status_code=200, responses=refusals(400), summary="Count the map indexes of an XCom")
async def size(
    request: Call,
    dag_id: FromPath[str],
    run_id: FromPath[str],
    task_id: FromPath[str],
    key: FromPath[str],
    map_index: FromQuery[str | None] = None,
) -> Response[None]:
    """Say in `Content-Range` how many map indexes wrote it."""
    if map_index is not None:
        raise refused(400, "invalid_request", "map_index cannot be given: this counts over all of them")
    name = XComName(dag_id=dag_id, run_id=run_id, task_id=task_id, key=key)
    count = await request.deck.store.count_xcoms(name)
    return Response(None, headers={"Content-Range": f"map_indexes {count}"})


@get(f"{PATH}/item/{{offset:int}}", opt=TASK, responses=refusals(), summary="Read one item of a mapped XCom")
async def item(
    request: Call,
    dag_id: FromPath[str],
    run_id: FromPath[str],
    task_id: FromPath[str],
    key: FromPath[str],
    offset: FromPath[int],
) -> Any:  # noqa: ANN401 - bare JSON
    """Give the value at an offset into all map indexes; negative ones count from the end."""
    name = XComName(dag_id=dag_id, run_id=run_id, task_id=task_id, key=key)
    found = await request.deck.store.get_xcoms(name)
    if -len(found) <= offset < len(found):
        return Response(msgspec.json.encode(found[offset].value), media_type=JSON)
    raise refused(404, "not_found", f"there is no item {offset} of XCom {key!r}: it has {len(found)}")


@get(f"{PATH}/slice", opt=TASK, responses=refusals(), summary="Read a slice of a mapped XCom")
async def cut(
    request: Call,
    dag_id: FromPath[str],
    run_id: FromPath[str],
    task_id: FromPath[str],
    key: FromPath[str],
    start: Bound = None,
    stop: Bound = None,
    step: Bound = None,
    include_prior_dates: FromQuery[bool] = False,
) -> list[Any]:
    """Give values as a Python slice of all map indexes."""
    if step == 0:
        raise refused(400, "invalid_request", "a slice cannot have a step of 0")
    name = XComName(dag_id=dag_id, run_id=run_id, task_id=task_id, key=key)
    found = await request.deck.store.get_xcoms(name, include_prior_dates=include_prior_dates)
    return [each.value for each in found[start:stop:step]]


@post(PATH, opt=TASK, status_code=201, responses=refusals(400, 409), summary="Write an XCom")
async def write(
    request: Call,
    dag_id: FromPath[str],
    run_id: FromPath[str],
    task_id: FromPath[str],
    key: FromPath[str],
    data: JSONBody[Any] = None,
    map_index: MapIndex = -1,
    dag_result: FromQuery[bool] = False,  # noqa: ARG001 - the run has no result of its own here
    mapped_length: Annotated[int | None, QueryParameter(ge=0)] = None,
) -> dict[str, str]:
    """Write a value, or write it anew."""
    name = XComName(dag_id=dag_id, run_id=run_id, task_id=task_id, key=key, map_index=map_index)
    await request.deck.store.set_xcom(name, data, mapped_length=mapped_length, by=request.claims.sub)
    return {"message": "XCom successfully set"}


@delete(PATH, opt=TASK, status_code=200, responses=refusals(), summary="Remove an XCom")
async def remove(
    request: Call,
    dag_id: FromPath[str],
    run_id: FromPath[str],
    task_id: FromPath[str],
    key: FromPath[str],
    map_index: MapIndex = -1,
) -> dict[str, str]:
    """Remove a value; an absent one is fine."""
    name = XComName(dag_id=dag_id, run_id=run_id, task_id=task_id, key=key, map_index=map_index)
    await request.deck.store.delete_xcom(name, by=request.claims.sub)
    return {"message": f"XCom with key: {key} successfully deleted."}


HANDLERS = [read, size, item, cut, write, remove]
