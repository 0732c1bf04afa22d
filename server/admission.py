"""Who is let in to a route, and with which parameters.

One guard for every route. A route says in its `opt` which scopes it takes (`ACCESS`) and whether the token has to be
that of the attempt in its path (`OWN`). No token is 401; a bad one, one of another scope, and another attempt's are
403.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import unquote_to_bytes
from uuid import UUID

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter
from msgspec import Struct

from protocol.http.errors import Fault
from protocol.states import TaskInstanceState
from server.deck import Deck
from server.door import notes_of
from server.faults import CallerError
from server.refusals import Refusal, invalid
from server.tokens import Claims, Expired, InvalidToken, Scope
from server.versions import dress

TiId = Annotated[str, PathParameter(schema_extra={"format": "uuid"}, description="The attempt's id.")]
"""A task instance's id in a path. The guard has it in canonical form before a route sees it."""

R = TypeVar("R", bound=Struct)

ATTEMPT = "ti_id"
LONGEST = 2000
BEARER = b"bearer "

TASK: dict[str, Any] = {"access": frozenset({Scope.EXECUTION})}
OWN: dict[str, Any] = {"access": frozenset({Scope.EXECUTION}), "own": True}
START: dict[str, Any] = {"access": frozenset({Scope.EXECUTION, Scope.WORKLOAD}), "own": True}
WORKER: dict[str, Any] = {"access": frozenset({Scope.WORKER})}
PEOPLE: dict[str, Any] = {"access": frozenset({Scope.USER})}
OPEN: dict[str, Any] = {"access": None}
LIFE: dict[str, Any] = OWN | {"life": True}
"""Of an attempt's life and end: there the store says itself whether the claim is in force, and to whom it was told."""


class Call(Request[Claims, Any, State]):
    """A request, with what routes need of the server."""

    @property
    def deck(self) -> Deck:
        """The parts of the server."""
        deck: Deck = self.scope["litestar_app"].state.deck
        return deck

    @property
    def claims(self) -> Claims:
        """What the caller's token says."""
        claims: Claims = notes_of(self.scope)["claims"]
        return claims

    @property
    def now(self) -> datetime:
        """The one moment of this request."""
        moment: datetime = notes_of(self.scope).setdefault("now", datetime.now(UTC))
        return moment

    def dress(self, reply: R) -> R:
        """Give a reply the shape of the version that was asked for: itself, or the map of an older shape."""
        return cast("R", dress(reply, notes_of(self.scope)["version"]))

    def hand_over(self, token: str) -> None:
        """Send a new token along with the answer."""
        notes_of(self.scope)["headers"].append((b"refreshed-api-token", token.encode()))


async def admit(connection: ASGIConnection[Any, Any, Any, State], handler: BaseRouteHandler) -> None:
    """Decode the parameters and check the token, in this order: what is not even an id is nobody's.

    It waits for nothing but, where the time of a token is over, for what became of its claim; and it is a coroutine
    all the same: Litestar runs a plain function in a thread, which costs more than all it does, and what is remembered
    of tokens is not made for threads.
    """
    # A new map: the one in the scope is shared by all requests for the same path. Litestar has read numbers already.
    params: dict[str, Any] = dict(connection.scope["path_params"])
    for name, value in params.items():
        if isinstance(value, str):
            params[name] = _decoded(name, value)
    connection.scope["path_params"] = params
    access = handler.opt.get("access")
    if access is None:
        return
    claims = await _claims(connection, handler)
    if claims.scope not in access:
        raise Refusal(403, f"this needs a token of scope {' or '.join(sorted(access))}")
    if "own" in handler.opt and _subject(claims) != params[ATTEMPT]:
        raise Refusal(403, "this token belongs to another task instance")


async def _claims(connection: ASGIConnection[Any, Any, Any, State], handler: BaseRouteHandler) -> Claims:
    notes = notes_of(connection.scope)
    header: bytes | None = notes.get("authorization")
    if header is None or header[: len(BEARER)].lower() != BEARER:
        raise Refusal(401, "Missing auth token", {"www-authenticate": "Bearer"})
    deck: Deck = connection.scope["litestar_app"].state.deck
    now = notes["now"] = datetime.now(UTC)
    try:
        claims = deck.tokens.verify(header[len(BEARER) :].decode("ascii"), now)
        renews = claims.scope is Scope.EXECUTION
    except Expired as late:
        claims = late.claims
        renews = await _in_force(deck, claims, handler)
    except (InvalidToken, UnicodeDecodeError):
        raise Refusal(403, "Invalid auth token") from None
    notes["claims"] = claims
    if renews and (token := deck.tokens.refreshed(claims, now)):
        notes["headers"].append((b"refreshed-api-token", token.encode()))
    return claims


async def _in_force(deck: Deck, claims: Claims, handler: BaseRouteHandler) -> bool:
    """Let in a token whose time is over, if nobody but us can be the reason; say whether it is to be renewed.

    While we were away nobody could renew it. So it is as good as the claim that it names: renewed while that is the
    one by which its attempt runs; and good for a last word, which the store judges by the claim, after that.
    """
    if claims.scope is Scope.EXECUTION and claims.fence is not None:
        try:
            it = await deck.store.instance(_subject(claims))
        except CallerError:
            it = None
        if it is not None and it.state is TaskInstanceState.RUNNING and it.fence == claims.fence:
            return True
        if "life" in handler.opt:
            return False
    raise Refusal(403, "Invalid auth token")


def _subject(claims: Claims) -> str:
    try:
        return str(UUID(claims.sub))
    except ValueError:
        return ""


def _decoded(name: str, value: str) -> str:
    if len(value) > LONGEST:
        raise invalid(Fault("string_too_long", ["path", name], f"at most {LONGEST} characters"))
    try:
        text = unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise invalid(Fault("string_unicode", ["path", name], "not UTF-8")) from None
    if "\0" in text:
        raise invalid(Fault("value_error", ["path", name], "a null character"))
    if name != ATTEMPT:
        return text
    try:
        return str(UUID(text))
    except ValueError:
        raise invalid(Fault("uuid_parsing", ["path", name], "not a UUID", text[:100])) from None
