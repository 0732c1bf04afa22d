"""The execution API, as the rest of the supervisor sees it: typed calls, and three ways in which one may fail.

`ApiRefused` is the server's own word: it understood the request and answers with a reason. `ApiAway` is everything that
is no word of the server's: no connection, no answer, a gateway's error page, a body that is not what the route gives.
Both are ours; no error of a socket, of TLS or of a parser passes this border.

One `Client` serves a worker. It has two pools, because thousands of questions of children must not stand in front of
the heartbeats and outcomes that keep their attempts alive. A call is tried again by the policy its caller gives
(`retrying`); it remembers whether an earlier try may have reached the server, and says so with a refusal.
"""

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec
from msgspec import Struct

from protocol.http.errors import ErrorBody, Refusal, refusal
from protocol.http.instances import AttemptRemark, TIEnterRunningPayload, TIHeartbeatInfo
from protocol.http.workloads import ClaimReply, ClaimRequest
from protocol.messages.checkpoints import SaveCheckpoint
from protocol.messages.startup import TIRunContext
from protocol.values import encode_json
from supervisor.circuit import Circuit
from supervisor.gate import Gate
from supervisor.heartbeat import chance
from supervisor.http1 import Answer
from supervisor.paths import path, query
from supervisor.retrying import ONCE, UNTIL_ANSWERED, Fault, RetryPolicy, Trial, own_doing, pause, retry_after
from supervisor.tracing import lines_of
from supervisor.wire import Wire, WireFault

T = TypeVar("T")

API_VERSION = "2026-10-30"
BRIEFLY = RetryPolicy(tries=3, patience_s=10.0, in_line_s=10.0)
"""For what nobody waits for."""
NOBODY = frozenset({502, 503, 504})
"""Statuses that are a gateway's word for nobody being there."""
STALE_TRIES = 2
"""A kept connection may end just as it is used, and so may the next one of the pool; a third time is an outage."""


class ApiError(Exception):
    """A call did not do what it was for."""


class ApiRefused(ApiError):
    """The server understood, and will not. `own` says that it may be refusing what we did ourselves a moment ago."""

    def __init__(self, status: int, why: Refusal, detail: object, *, own: bool) -> None:
        super().__init__(" ".join(str(word) for word in (status, why.reason and f"{why.reason}:", why.message) if word))
        self.status = status
        self.why = why
        self.detail = detail
        self.own = own


class ApiAway(ApiError):
    """Nobody answered as this API does, for as long as the caller's patience lasted."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


TRACE: ContextVar[bytes | None] = ContextVar("trace", default=None)
"""The trace headers of the question that is being answered; None where a call is nobody's question."""


class Token:
    """A bearer token that the server may replace on any answer, and the trace of whoever it was made for."""

    def __init__(self, value: str, trace: bytes = b"") -> None:
        self.trace = trace
        self.replace(value)

    def replace(self, value: str) -> None:
        """Use this one from now on. A token is a word of visible characters, or it could add headers of its own."""
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError("a token is one word of visible ASCII characters")
        self.value = value
        self.line = f"authorization: Bearer {value}\r\n".encode("ascii")


class Call(Struct, frozen=True, gc=False):
    """One call: what is asked, and how it may be asked again."""

    method: str
    target: str
    body: bytes | None = None
    policy: RetryPolicy = RetryPolicy()
    vital: bool = False
    """Over the pool that no child's questions can fill."""
    timeout_s: float | None = None


class Client:
    """The way to one API for one worker."""

    def __init__(self, asks: Wire, vitals: Wire, on_news: Callable[[str], None] = lambda _: None) -> None:
        self._wires = {False: asks, True: vitals}
        self._headers = f"airflow-api-version: {API_VERSION}\r\nuser-agent: taskhand\r\naccept: application/json\r\n"
        self._salt = os.urandom(8)
        self._count = itertools.count()
        self._gate = Gate(Circuit(self._salt), on_news)

    @property
    def away_since(self) -> float | None:
        """Since when nobody answers, by the loop's clock; None while somebody does."""
        return self._gate.away_since

    async def call(self, call: Call, token: Token, read: Callable[[Answer], T]) -> T:
        """Call, and call again, until there is an answer to read, a refusal, or no more patience."""
        result, _ = await self.timed(call, token, read)
        return result

    async def timed(self, call: Call, token: Token, read: Callable[[Answer], T]) -> tuple[T, float]:
        """Call likewise; give, too, when the question left that was answered, by the loop's clock."""
        loop, gate = asyncio.get_running_loop(), self._gate
        began, unanswered, stale, probe = loop.time(), False, 0, False
        in_turn = False
        for number in itertools.count(1):
            status, fault, wait, reason = None, None, None, ""
            if not in_turn:
                probe = gate.shut and await self._turn(call)
            sent = loop.time()
            try:
                answer = await self._exchange(call, token)
            except WireFault as error:
                fault, reason = error.fault, str(error)
                unanswered = unanswered or fault is Fault.UNANSWERED
                stale += error.stale
                in_turn = error.stale and stale <= STALE_TRIES
                if in_turn:
                    continue
            else:
                result, status, reason = self._judged(answer, read, unanswered=unanswered)
                if status is None:
                    return cast("T", result), sent
                wait = retry_after(answer.header(b"retry-after"), datetime.now(UTC))
            if fault is not None or status in NOBODY:
                gate.failed(probe=probe, reason=reason)
            trial = Trial(number, loop.time() - began, status, fault, wait)
            wait = pause(call.policy, trial, chance(self._salt, next(self._count)))
            if wait is None:
                raise ApiAway(reason, status)
            if not gate.shut:
                await asyncio.sleep(wait)
        raise AssertionError

    def _judged(
        self, answer: Answer, read: Callable[[Answer], T], *, unanswered: bool
    ) -> tuple[T | None, int | None, str]:
        """Judge, and let the gate know that there is somebody: a refusal says so as well."""
        status: int | None = None
        try:
            result, status, reason = _judge(answer, read, unanswered=unanswered)
        finally:
            if self._gate.away_since is not None and status not in NOBODY:
                self._gate.answered()
        return result, status, reason

    async def _turn(self, call: Call) -> bool:
        try:
            return await self._gate.turn(call.policy.in_line_s, vital=call.vital)
        except TimeoutError:
            raise ApiAway("nobody answers, and no turn came to try it") from None

    async def claim(self, request: ClaimRequest, token: Token, policy: RetryPolicy | None = None) -> ClaimReply:
        """Ask for work; the server may take `wait_s` to answer."""
        target = path("workloads", "claim")
        call = Call(
            "POST", target, encode_json(request), policy or RetryPolicy(), vital=True, timeout_s=request.wait_s + 10
        )
        return await self.call(call, token, reader(ClaimReply))

    async def close(self) -> None:
        """End all connections. Twice is fine."""
        for wire in self._wires.values():
            await wire.close()

    async def _exchange(self, call: Call, token: Token) -> Answer:
        trace = TRACE.get()
        headers = (
            token.line
            + (token.trace if trace is None else trace)
            + f"{self._headers}correlation-id: {self._correlation()}\r\n".encode("ascii")
        )
        wire = self._wires[call.vital]
        answer = await wire.exchange(call.method, call.target, headers, call.body, call.timeout_s)
        fresh = answer.header(b"refreshed-api-token")
        if fresh:
            with contextlib.suppress(ValueError):  # not a token: the old one is no worse
                token.replace(fresh)
        return answer

    def _correlation(self) -> str:
        """Give an id as a uuid7 is written: time first, so that logs sort, and unlike any other's."""
        stamp = f"{time.time_ns() // 1_000_000:012x}"
        rest = f"{next(self._count) & 0xFFF:03x}"
        salt = self._salt.hex()
        return f"{stamp[:8]}-{stamp[8:]}-7{rest}-8{salt[:3]}-{salt[3:15]}"


def _judge(answer: Answer, read: Callable[[Answer], T], *, unanswered: bool) -> tuple[T | None, int | None, str]:
    """Give the result, or the status to try again for and why. A refusal is raised."""
    status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004 - what HTTP calls a success
        try:
            return read(answer), None, ""
        except (msgspec.MsgspecError, ValueError, LookupError) as error:
            return None, 502, f"an answer that cannot be read: {error}"
    body = error_body(answer)
    if body is None:
        return None, status if status >= 500 else 502, f"{status} that is no answer of this API"  # noqa: PLR2004 - HTTP
    if status >= 500 or status in {408, 425, 429}:  # noqa: PLR2004 - HTTP
        return None, status, f"{status} {refusal(body).message}"
    raise ApiRefused(status, refusal(body), body.detail, own=own_doing(status, unanswered_before=unanswered))


def error_body(answer: Answer) -> ErrorBody | None:
    """Give an error's body, if it is one of this API's: JSON by its type, parameters or not, and with a `detail`."""
    kind = (answer.header(b"content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        return None
    try:
        return msgspec.json.decode(answer.body, type=ErrorBody)
    except msgspec.MsgspecError:
        return None


def nothing(_: Answer) -> None:
    """Read an answer whose status says it all."""


def reader(kind: type[T]) -> Callable[[Answer], T]:
    """Give what reads a JSON body as this type."""
    found = _READERS.get(kind)
    if found is None:
        decoder = msgspec.json.Decoder(kind)
        found = _READERS[kind] = lambda answer: decoder.decode(answer.body)
    return found


def _stop_header(answer: Answer) -> str | None:
    return answer.header(b"taskhand-stop")


_READERS: dict[Any, Callable[[Answer], Any]] = {}


class AttemptApi:
    """The API in one attempt's name: with its token, and with the patience its questions have."""

    def __init__(
        self, client: Client, ti_id: UUID, token: str, patience: RetryPolicy, trace: Mapping[str, object] | None = None
    ) -> None:
        self.client = client
        self.ti_id = ti_id
        self.token = Token(token, lines_of(trace))
        self.saves = itertools.count(time.monotonic_ns() // 1000 + 1)
        """The numbers of its saves, by which the server knows one that comes again or late.

        From the machine's clock, so that a supervisor that adopts the attempt goes on above the last one's.
        """
        self.unsaved: SaveCheckpoint | None = None
        """A record that could not be saved before the attempt has to end: it goes with its last word."""
        self.reason: str | None = None
        """Why the task says what it says next, where the word itself has no room for it."""
        self._patience = patience

    async def get(self, target: str, kind: type[T]) -> T:
        """Read something."""
        return await self.client.call(Call("GET", target, None, self._patience), self.token, reader(kind))

    async def ask(self, method: str, target: str, body: object, kind: type[T]) -> T:
        """Say something, and read what comes back."""
        call = Call(method, target, encode_json(body), self._patience)
        return await self.client.call(call, self.token, reader(kind))

    async def do(self, method: str, target: str, body: object = msgspec.UNSET) -> None:
        """Have something done."""
        data = None if body is msgspec.UNSET else encode_json(body)
        await self.client.call(Call(method, target, data, self._patience), self.token, nothing)

    async def read(self, method: str, target: str, read: Callable[[Answer], T]) -> T:
        """Ask for something that is not in a body."""
        return await self.client.call(Call(method, target, None, self._patience), self.token, read)

    async def end(self, body: object, policy: RetryPolicy = UNTIL_ANSWERED) -> None:
        """Say how it ended."""
        await self.client.call(self._vital("PATCH", "state", body, policy), self.token, nothing)

    async def remark(self, body: AttemptRemark) -> None:
        """Have a line written into the timeline. The same again adds nothing, so it may be asked again."""
        await self.client.call(self._vital("POST", "remark", body, BRIEFLY), self.token, nothing)

    async def upload(self, target: str, data: bytes, policy: RetryPolicy) -> None:
        """Send bytes as they are."""
        await self.client.call(Call("PUT", target, data, policy), self.token, nothing)

    async def beat(self, body: TIHeartbeatInfo, within_s: float | None = None) -> tuple[str | None, float]:
        """Say that it lives, once: when it was said. A server of ours may answer with a reason to stop."""
        call = self._vital("PUT", "heartbeat", body, ONCE, within_s)
        return await self.client.timed(call, self.token, _stop_header)

    async def start(self, body: TIEnterRunningPayload, pid_of: str | None = None) -> tuple[TIRunContext, float]:
        """Ask whether it may run: when that was asked. The answer brings the token that is good for everything else.

        `pid_of` is for a server of ours: a parameter, because the body takes no field that an older one does not know.
        """
        call = self._vital("PATCH", "run", body, UNTIL_ANSWERED, more=query(pid_of=pid_of))
        return await self.client.timed(call, self.token, reader(TIRunContext))

    def _vital(  # noqa: PLR0913, PLR0917 - a call's parts
        self, method: str, verb: str, body: object, policy: RetryPolicy, within_s: float | None = None, more: str = ""
    ) -> Call:
        target = path("task-instances", self.ti_id, verb) + more
        return Call(method, target, encode_json(body), policy, vital=True, timeout_s=within_s)
