"""The network between workers and the server, and what may become of a request on it.

It may be lost before it arrives or its answer after, delayed, delivered twice, overtaken by later ones, answered by a
gateway that knows nothing (before the server or after it), or find nobody there. What the worker sees is what its own
`Wire` would show it: an answer, or a `WireFault` that says whether the request can have reached anyone.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from supervisor.http1 import Answer
from supervisor.retrying import Fault
from supervisor.wire import WireFault
from tests.simulation.loop import SimLoop
from tests.simulation.serving import Line, Request, Server
from tests.simulation.watch import Watch
from tests.simulation.world import World

TRIP_S = 0.003
ANSWER_S = 3.0
GATEWAY = Answer(502, {b"content-type": b"text/html"}, b"<h1>Bad Gateway</h1>")
BUSY = Answer(503, {b"content-type": b"application/json", b"retry-after": b"1"}, b'{"detail":{"reason":"busy"}}')
AUTH = b"authorization: Bearer "


class Fate(StrEnum):
    """What becomes of a request."""

    FINE = "arrives"
    LOST = "is lost"
    DEAF = "arrives, and its answer is lost"
    SLOW = "is slow"
    TWICE = "arrives twice"
    GATEWAY = "is answered by a gateway"
    BUSY = "is answered with 503"
    LATE_GATEWAY = "arrives, and is answered by a gateway"


class Weather(Struct):
    """How the network is: the share of each fate, until when, and when it is cut."""

    shares: dict[Fate, float]
    until: float
    cuts: list[tuple[float, float]]


class Network:
    """Between all workers and the server."""

    def __init__(self, world: World, watch: Watch, weather: Weather) -> None:
        self.world = world
        self.watch = watch
        self.weather = weather
        self.server: Server | None = None

    @property
    def cut(self) -> bool:
        """Whether nothing goes through now."""
        return any(begin <= self.world.now < end for begin, end in self.weather.cuts)

    def fate(self) -> Fate:
        """Draw one."""
        if self.world.now < self.weather.until:
            drawn = self.world.random.random()
            for fate, share in self.weather.shares.items():
                drawn -= share
                if drawn < 0:
                    self.watch.faulty()
                    self.watch.injected[f"request {fate}"] += 1
                    return fate
        return Fate.FINE

    def trip(self, fate: Fate) -> float:
        """How long one way takes."""
        return self.world.between(0, 5.0 if fate is Fate.SLOW else TRIP_S)

    def hang_up(self, request: Request) -> None:
        """Whoever asked has gone. It is noticed, where the network is whole."""
        if not self.cut:
            request.line.hang_up()

    def arrive(self, request: Request, give: Callable[[Answer], None], broke: Callable[[], None]) -> None:
        """A request arrives where the server should be."""
        if self.cut:
            return
        server = self.server
        if server is None or not server.alive:
            broke()
        else:
            server.take(request, give)


class Wire:
    """As `supervisor.wire.Wire`, for one worker."""

    def __init__(self, network: Network, loop: SimLoop) -> None:
        self._network = network
        self._loop = loop

    async def exchange(
        self, method: str, target: str, headers: bytes, body: bytes | None = None, timeout_s: float | None = None
    ) -> Answer:
        """Ask once."""
        token = headers[headers.index(AUTH) + len(AUTH) :].partition(b"\r\n")[0].decode()
        request = Request(method, target, token, body, Line())
        network = self._network
        self._network.watch.sent(self._loop.party, request)
        fate = network.fate()
        if fate is not Fate.FINE:
            self._loop.party.tell(f"sends {method} {_short(target)}, which {fate}")
        answered: asyncio.Future[Answer] = self._loop.create_future()
        self._send(request, fate, answered)
        try:
            async with asyncio.timeout(timeout_s or ANSWER_S):
                return await answered
        except TimeoutError:
            raise WireFault(Fault.UNANSWERED, "no answer in time") from None
        finally:  # a process that is killed comes by here too: the kernel closes its connections
            if answered.done() and not answered.cancelled():
                network.hang_up(request)  # nobody waits for it: one that arrives later finds that out
            else:
                network.world.nature.later(TRIP_S, lambda: network.hang_up(request))

    def _send(self, request: Request, fate: Fate, answered: "asyncio.Future[Answer]") -> None:
        network, world, party = self._network, self._network.world, self._loop.party

        def back(answer: Answer) -> None:
            if not network.cut and fate is not Fate.DEAF:
                given = GATEWAY if fate is Fate.LATE_GATEWAY else answer
                party.later(network.trip(fate), lambda: self._settle(answered, given))

        def broke() -> None:
            party.later(network.trip(Fate.FINE), lambda: self._break(answered))

        def arrive(give: Callable[[Answer], None]) -> Callable[[], None]:
            return lambda: network.arrive(request, give, broke)

        if fate in {Fate.GATEWAY, Fate.BUSY}:
            party.later(TRIP_S, lambda: self._settle(answered, GATEWAY if fate is Fate.GATEWAY else BUSY))
        elif fate is not Fate.LOST:
            world.nature.later(network.trip(fate), arrive(back))
        if fate is Fate.TWICE:
            world.nature.later(network.trip(Fate.SLOW), arrive(lambda _: None))

    def _settle(self, answered: "asyncio.Future[Answer]", answer: Answer) -> None:
        if not answered.done():
            answered.set_result(answer)

    def _break(self, answered: "asyncio.Future[Answer]") -> None:
        if not answered.done():
            answered.set_exception(WireFault(Fault.UNSENT, "nobody listens"))

    async def close(self) -> None:
        """There is nothing to close."""


def _short(target: str) -> str:
    return target.partition("?")[0].rpartition("/")[2]
