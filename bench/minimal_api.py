"""A small execution API on a loopback port, written without the server package: raw asyncio, programmable answers.

It knows the states of task instances well enough to refuse what a real one refuses, records what it was told, and does
on request what a real one does on a bad day: 500s, slowness, an answer lost after the change was made, a proxy's HTML.

`python -m bench.minimal_api --port N` serves one for a benchmark and prints a line when it is ready.
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

Body = dict[str, Any] | list[Any] | str | int | float | None


class Call(NamedTuple):
    """One request, as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any
    raw: bytes = b""

    @property
    def segments(self) -> list[str]:
        """The path's parts, unquoted one by one."""
        return [unquote(part) for part in self.path.strip("/").split("/")]


class Answer(NamedTuple):
    """What is answered. `raw` replaces the JSON body; `lost` answers nothing, after the change was made."""

    status: int
    body: Body = None
    headers: tuple[tuple[str, str], ...] = ()
    raw: bytes | None = None
    kind: str = "application/json"
    delay_s: float = 0.0
    lost: bool = False


Fault = Callable[[Call], Answer | None]
"""Looks at a call before it is served: an answer that replaces the true one, or None."""


def refusal(status: int, reason: str, **more: str) -> Answer:
    """Refuse as an execution API does."""
    return Answer(status, {"detail": {"reason": reason, "message": reason.replace("_", " "), **more}})


HTML = Answer(502, raw=b"<html><body>Bad Gateway</body></html>", kind="text/html")


class MinimalApi:
    """The API. `calls` has every request; `states` where each task instance is."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.states: dict[str, str] = {}
        self.ends: dict[str, list[dict[str, Any]]] = {}
        self.gone: list[str] = []
        """Of what was given up, that of which nothing is left."""
        self.runs: dict[str, dict[str, Any]] = {}
        self.variables: dict[str, str | None] = {}
        self.connections: dict[str, dict[str, Any]] = {}
        self.xcoms: dict[str, Any] = {}
        self.checkpoints: dict[str, list[dict[str, Any]]] = {}
        self.store: dict[str, Any] = {}
        self.logs: dict[str, bytes] = {}
        self.remarks: dict[str, list[str]] = {}
        self.triggered: set[str] = set()
        self.workloads: deque[dict[str, Any]] = deque()
        self.faults: list[Fault] = []
        self.contexts: dict[str, dict[str, Any]] = {}
        """What `/run` says to one task instance besides the usual."""
        self.record = True
        self.port = 0
        self.told = asyncio.Event()
        self._new = asyncio.Event()
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    # --- being a server -------------------------------------------------------------------------------------------

    async def start(self, port: int = 0) -> str:
        """Listen; give the URL."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{self.port}/execution"

    async def stop(self) -> None:
        """Be away: the port is closed, and so is every connection. `start` comes back on the same port."""
        if self._server is not None:
            server, self._server = self._server, None
            for writer in [*self._writers]:
                writer.transport.abort()
            await shut(server)

    async def until(self, condition: Callable[["MinimalApi"], bool]) -> None:
        """Wait until the condition holds after some call."""
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self))

    def queue(self, *workloads: dict[str, Any]) -> None:
        """Have workloads to claim."""
        self.workloads.extend(workloads)
        self._new.set()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Not a coroutine: who is away in the next turn of the loop has to know of this connection in this one."""
        if self._server is None:
            writer.transport.abort()
            return
        self._writers.add(writer)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                call = await _read(reader)
                answer = await self._answer(call)
                if self.record:
                    self.calls.append(call)
                    async with self._changed:
                        self._changed.notify_all()
                if answer.lost:
                    break
                writer.write(_bytes(answer, bodiless=call.method == "HEAD"))
        self._writers.discard(writer)
        writer.transport.abort()

    async def _answer(self, call: Call) -> Answer:
        for fault in self.faults:
            if (answer := fault(call)) is not None:
                if answer.delay_s:
                    await asyncio.sleep(answer.delay_s)
                if answer.lost:
                    await self._route(call)
                if answer.status:
                    return answer
        return await self._route(call)

    # --- being an execution API -----------------------------------------------------------------------------------

    async def _route(self, call: Call) -> Answer:
        match call.segments[1:]:
            case ["task-instances", ti, verb] if verb in _VERBS:
                return _VERBS[verb](self, ti, call)
            case ["workloads", "claim"]:
                return await self._claim(call)
            case [family, *names] if family in _FAMILIES:
                return _FAMILIES[family](self, call, names)
        return refusal(404, "not_found")

    def _run(self, ti: str, call: Call) -> Answer:
        if self.states.get(ti, "queued") != "queued" and self.runs.get(ti, {}).get("pid") != call.body["pid"]:
            return refusal(409, "invalid_state", previous_state=self.states[ti])
        self.states[ti] = "running"
        self.runs[ti] = call.body
        return Answer(200, _context(self.contexts.get(ti, {})), (("Refreshed-API-Token", f"execution-{ti}"),))

    def _end(self, ti: str, call: Call) -> Answer:
        state = self.states.get(ti)
        if call.body["state"] == "server_terminated":
            self.gone.append(ti)
            return Answer(204)
        if state is None:
            return refusal(404, "not_found")
        if state == call.body["state"]:
            return Answer(200)
        if state != "running":
            return refusal(409, "invalid_state", previous_state=state)
        self.states[ti] = call.body["state"]
        self.ends.setdefault(ti, []).append(call.body)
        self.told.set()
        return Answer(204)

    def _beat(self, ti: str, _: Call) -> Answer:
        state = self.states.get(ti)
        if state == "running":
            return Answer(204)
        return refusal(404, "not_found") if state is None else refusal(409, "not_running", current_state=state)

    def _checkpoint(self, ti: str, call: Call) -> Answer:
        records = self.checkpoints.setdefault(ti, [])
        if call.method in {"GET", "POST"}:
            return Answer(200, {"checkpoint": records[-1] if records else None, "note": None})
        record = {key: value for key, value in call.body.items() if key != "type"}
        records.append({**record, "seq": len(records) + 1, "attempt": 1, "created": "2026-01-01T00:00:00Z"})
        return Answer(200, {"seq": len(records), "stopping": False})

    def _rendered(self, _: str, __: Call) -> Answer:
        return Answer(201)

    def _log(self, ti: str, call: Call) -> Answer:
        have, offset = self.logs.get(ti, b""), int(call.query["offset"][0])
        if offset > len(have):
            return Answer(409, {"detail": {"reason": "log_gap", "message": "a gap", "expected": len(have)}})
        self.logs[ti] = have + call.raw[len(have) - offset :]
        return Answer(204)

    def _remark(self, ti: str, call: Call) -> Answer:
        self.remarks.setdefault(ti, []).append(call.body["why"])
        return Answer(204)

    async def _claim(self, call: Call) -> Answer:
        if not self.workloads:
            self._new.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(call.body.get("wait_s", 0)):
                    await self._new.wait()
        count = min(call.body["slots"], len(self.workloads))
        found = [self.workloads.popleft() for _ in range(count)]
        return Answer(200, {"workloads": found, "lease_s": 30.0})

    def _variables(self, call: Call, names: list[str]) -> Answer:
        key = "/".join(names)
        match call.method:
            case "GET" if key == "keys":
                return Answer(200, {"keys": sorted(self.variables), "total_entries": len(self.variables)})
            case "GET" if key in self.variables:
                return Answer(200, {"key": key, "value": self.variables[key]})
            case "PUT":
                self.variables[key] = call.body["val"]
                return Answer(201)
            case "DELETE":
                self.variables.pop(key, None)
                return Answer(204)
        return refusal(404, "not_found")

    def _connections(self, _: Call, names: list[str]) -> Answer:
        found = self.connections.get("/".join(names))
        return refusal(404, "not_found") if found is None else Answer(200, found)

    def _xcoms(self, call: Call, names: list[str]) -> Answer:
        place = "/".join(names)
        match call.method:
            case "POST":
                self.xcoms[place] = call.body
                return Answer(201)
            case "GET" if place in self.xcoms:
                return Answer(200, {"key": names[-1], "value": self.xcoms[place]})
            case "HEAD":
                return Answer(200, None, (("Content-Range", f"map_indexes {int(place in self.xcoms)}"),))
            case "DELETE":
                self.xcoms.pop(place, None)
                return Answer(200)
        return refusal(404, "not_found")

    def _dag_runs(self, call: Call, names: list[str]) -> Answer:
        place = "/".join(names[:2])
        match call.method, names[2:]:
            case "POST", []:
                if place in self.triggered:
                    return refusal(409, "already_exists")
                self.triggered.add(place)
                return Answer(204)
            case "POST", ["clear"]:
                return Answer(204)
            case "GET", ["state"]:
                return Answer(200, {"state": "running"})
        return refusal(404, "not_found")

    def _store(self, call: Call, names: list[str]) -> Answer:
        place = "/".join(names)
        match call.method:
            case "PUT":
                self.store[place] = call.body["value"]
                return Answer(204)
            case "GET" if place in self.store:
                return Answer(200, {"value": self.store[place]})
            case "DELETE":
                self.store.pop(place, None)
                return Answer(204)
        return refusal(404, "not_found")

    def _health(self, _: Call, __: list[str]) -> Answer:
        return Answer(200, {"status": "healthy"})


_VERBS: dict[str, Callable[[MinimalApi, str, Call], Answer]] = {
    "run": MinimalApi._run,  # noqa: SLF001 - the class's own table
    "state": MinimalApi._end,  # noqa: SLF001 - the class's own table
    "heartbeat": MinimalApi._beat,  # noqa: SLF001 - the class's own table
    "log": MinimalApi._log,  # noqa: SLF001 - the class's own table
    "remark": MinimalApi._remark,  # noqa: SLF001 - the class's own table
    "checkpoint": MinimalApi._checkpoint,  # noqa: SLF001 - the class's own table
    "rtif": MinimalApi._rendered,  # noqa: SLF001 - the class's own table
}
_FAMILIES: dict[str, Callable[[MinimalApi, Call, list[str]], Answer]] = {
    "variables": MinimalApi._variables,  # noqa: SLF001 - the class's own table
    "connections": MinimalApi._connections,  # noqa: SLF001 - the class's own table
    "xcoms": MinimalApi._xcoms,  # noqa: SLF001 - the class's own table
    "dag-runs": MinimalApi._dag_runs,  # noqa: SLF001 - the class's own table
    "store": MinimalApi._store,  # noqa: SLF001 - the class's own table
    "health": MinimalApi._health,  # noqa: SLF001 - the class's own table
}


def _context(more: dict[str, Any]) -> dict[str, Any]:
    run: dict[str, Any] = dict.fromkeys(
        ("logical_date", "data_interval_start", "data_interval_end", "start_date", "end_date", "partition_key")
    )
    run |= {"dag_id": "d", "run_id": "r", "run_after": "2026-01-01T00:00:00Z", "run_type": "manual"}
    run |= {"state": "running", "consumed_asset_events": []}
    return {"dag_run": run, "max_tries": 0, "should_retry": False, "task_reschedule_count": 0, **more}


async def shut(server: asyncio.Server) -> None:
    """Close a server, and come back when every connection that it had accepted was made, and could be ended.

    From an accept it takes asyncio one turn of the loop to the transport, one to its protocol and, when that aborts it,
    one to its end. Whose server is closed between leaves that connection open: it answers while it is away, or nobody
    ever closes its socket.
    """
    for listener in server.sockets:
        asyncio.get_running_loop().remove_reader(listener.fileno())
    for _ in range(4):
        await asyncio.sleep(0)
    server.close()


async def _read(reader: asyncio.StreamReader) -> Call:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    data = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    body = None
    with contextlib.suppress(ValueError):
        body = json.loads(data) if data else None
    return Call(method, parts.path, parse_qs(parts.query), headers, body, data)


def _bytes(answer: Answer, *, bodiless: bool) -> bytes:
    body = answer.raw if answer.raw is not None else b"" if answer.body is None else json.dumps(answer.body).encode()
    lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {value}" for name, value in answer.headers)]
    if body:
        lines.append(f"content-type: {answer.kind}")
    lines.append(f"content-length: {len(body)}")
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("latin-1") + (b"" if bodiless else body)


@contextlib.contextmanager
def faulty(api: MinimalApi, fault: Fault) -> Iterator[None]:
    """Have a fault for a while."""
    api.faults.append(fault)
    try:
        yield
    finally:
        api.faults.remove(fault)


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    api = MinimalApi()
    api.record = False
    print(await api.start(parser.parse_args().port), flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except KeyboardInterrupt:
        sys.exit(0)
