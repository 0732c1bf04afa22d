"""The server: its own routes, rules, tokens, engine and SQL, without its web framework.

What Litestar would do is done here for the few routes that a worker uses: find the route by its path, read the body by
the route's own annotation, and give what it returned or raised as an answer, by the server's own refusals. Litestar
itself costs more than all the rest of a history.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from litestar import Response
from msgspec import Struct

from protocol.http.instances import AttemptRemark, TIEnd, TIEnterRunningPayload, TIHeartbeatInfo
from protocol.http.workloads import ClaimRequest
from protocol.messages.checkpoints import GetCheckpoint, SaveCheckpoint
from server.admission import Call, admit
from server.deck import Deck, Limits
from server.faults import CallerError, StoreError
from server.filters import Retention
from server.metrics import Metrics
from server.records import PidOf
from server.refusals import Refusal, on_caller_error, on_refusal, on_store_error
from server.routes import checkpoints, instances, workloads
from server.sql.part import Limits as StoreLimits
from server.sql.store import store_over
from server.ticking import ticking
from server.tokens import Scope, Tokens
from server.versions import HEAD
from server.waiting import Closing
from supervisor.http1 import Answer
from tests.simulation.database import Database, Storage
from tests.simulation.loop import SimLoop
from tests.simulation.world import Party, World

SECRET = b"simulation" * 8
LEASE_S = 10.0
NEVER = Retention(limit=0)
TASK = "/task-instances/"
TOKENS = Tokens(SECRET, life=60.0, queued_life=60.0)


class Route(Struct, frozen=True):
    """One way in: the handler, and what its body is."""

    handler: Any
    body: Any


ROUTES: dict[tuple[str, str], Route] = {
    ("POST", "claim"): Route(workloads.claim, ClaimRequest),
    ("PATCH", "run"): Route(instances.run, TIEnterRunningPayload),
    ("PATCH", "state"): Route(instances.state, TIEnd),
    ("PUT", "heartbeat"): Route(instances.heartbeat, TIHeartbeatInfo),
    ("POST", "remark"): Route(instances.remark, AttemptRemark),
    ("PUT", "checkpoint"): Route(checkpoints.save, SaveCheckpoint),
    ("GET", "checkpoint"): Route(checkpoints.find, None),
    ("POST", "checkpoint"): Route(checkpoints.begin, GetCheckpoint),
}
QUERY: dict[str, Callable[[str], Any]] = {"pid_of": PidOf}
"""What is no number of all that a worker asks by a query."""


class Line:
    """The connection that a request came by: whoever asked may hang up."""

    def __init__(self) -> None:
        self._over = False
        self._listening: asyncio.Future[None] | None = None

    async def receive(self) -> None:
        """Wait for its end, as a server does that has read the body."""
        if not self._over:
            self._listening = asyncio.get_running_loop().create_future()
            await self._listening

    def hang_up(self) -> None:
        """End it. Twice is fine."""
        self._over = True
        if self._listening is not None and not self._listening.done():
            self._listening.set_result(None)


class Request(Struct, frozen=True):
    """What came over the wire."""

    method: str
    target: str
    token: str
    body: bytes | None
    line: Line


class Server(Party):
    """One life of the server."""

    def __init__(self, world: World, name: str, storage: Storage, skew_s: float) -> None:
        super().__init__(world, name)
        self.skew_s = skew_s
        self.loop = SimLoop(self)
        limits = Limits(lease_s=LEASE_S)
        store = store_over(Database(storage, self), StoreLimits(claim_lease=LEASE_S, lease=LEASE_S))
        logbook: Any = None  # no log is sent here
        self.deck = Deck(store, TOKENS, logbook, Metrics(), Closing(), limits)
        self._app = SimpleNamespace(state=SimpleNamespace(deck=self.deck))
        self.pulse = self.loop.begin(self._pulse)
        self.tell("is up")

    async def _pulse(self) -> None:
        async with ticking(self.deck, NEVER):
            await asyncio.Event().wait()

    def die(self) -> None:
        """Be killed."""
        self.alive = False
        self.loop.end()
        self.tell("is killed")

    def take(self, request: Request, give: Callable[[Answer], None]) -> None:
        """Answer a request, some time."""

        async def answer() -> None:
            give(await self._answer(request))

        self.loop.begin(answer)

    async def _answer(self, request: Request) -> Answer:
        path, _, query = request.target.partition("?")
        route = ROUTES[request.method, path.rpartition("/")[2]]
        notes: dict[str, Any] = {"version": HEAD, "headers": [], "authorization": f"Bearer {request.token}".encode()}
        call = self._call(path, notes, request.line)
        try:
            await admit(call, route.handler)
            arguments: dict[str, Any] = dict(call.scope["path_params"])
            arguments |= {name: QUERY.get(name, int)(value) for name, value in parse_qsl(query)}
            if route.body is not None:
                arguments["data"] = msgspec.json.decode(request.body or b"", type=route.body)
            return _answer(route, await route.handler.fn(call, **arguments), notes)
        except Refusal as refusal:
            return _refused(on_refusal(call, refusal))
        except CallerError as error:
            return _refused(on_caller_error(call, error))
        except StoreError as error:
            return _refused(on_store_error(call, error))

    def _call(self, path: str, notes: dict[str, Any], line: Line) -> Call:
        params = {"ti_id": path[len(TASK) :].partition("/")[0]} if path.startswith(TASK) else {}
        scope: Any = {
            "type": "http",
            "litestar_app": self._app,
            "state": {"taskhand": notes},
            "path_params": params,
            "headers": [],
        }
        receive: Any = line.receive
        return Call(scope, receive=receive)


def _answer(route: Route, given: object, notes: dict[str, Any]) -> Answer:
    if isinstance(given, Response):
        headers = {name.lower().encode(): value.encode() for name, value in given.headers.items()}
        status = int(given.status_code or route.handler.status_code)
        return Answer(status, headers | dict(notes["headers"]), b"")
    headers = {b"content-type": b"application/json"} | dict(notes["headers"])
    return Answer(route.handler.status_code, headers, msgspec.json.encode(given))


def _refused(response: Response[bytes]) -> Answer:
    return Answer(int(response.status_code or 500), {b"content-type": b"application/json"}, response.content)


def worker_token(moment: datetime) -> str:
    """Give a token that claims."""
    return TOKENS.mint(Scope.WORKER, "worker", moment, life=1e6)
