"""What one API request costs the client, in CPU: httpx as it is, httpx on a lean transport, our wire.

A heartbeat-sized PUT against a minimal API in a process of its own; interleaved rounds, user + system time of this
process. `python -m bench.httpclient [--quick] [--json]`.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import httpx

from bench.harness import Row, emit, median_and_spread
from bench.serving import minimal_api
from supervisor.http1 import Answer
from supervisor.wire import LeanWire, address
from supervisor.wire_httpx import HttpxWire

BODY = b'{"hostname":"h","pid":1}'
HEADERS = b"authorization: Bearer token\r\nairflow-api-version: 2026-10-30\r\n"


class LeanTransport(httpx.AsyncBaseTransport):
    """httpx's own requests and responses over the lean wire: what is left is what they cost."""

    def __init__(self, wire: LeanWire) -> None:
        self._wire = wire

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass it on."""
        body = await request.aread()
        headers = b"".join(b"%b: %b\r\n" % pair for pair in request.headers.raw if pair[0].lower() == b"authorization")
        answer = await self._wire.exchange(request.method, request.url.raw_path.decode(), headers, body)
        return httpx.Response(answer.status, headers=list(answer.headers.items()), content=answer.body)


async def measure(url: str, requests: int, rounds: int) -> dict[str, list[float]]:
    """Give the microseconds of CPU per request, for each way and round."""
    where = address(url)
    lean = LeanWire(where)
    through_httpx = HttpxWire(where)
    bare = LeanWire(address(url.removesuffix("/execution")))
    on_lean = httpx.AsyncClient(transport=LeanTransport(bare), trust_env=False)
    target = "/health/x"

    async def with_transport() -> None:
        await on_lean.put(url + target, content=BODY, headers={"authorization": "Bearer token"})

    def exchanging(wire: LeanWire | HttpxWire) -> Callable[[], Awaitable[Answer]]:
        return lambda: wire.exchange("PUT", target, HEADERS, BODY)

    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "lean": exchanging(lean),
        "httpx": exchanging(through_httpx),
        "httpx on the lean transport": with_transport,
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            await way()
            start = time.process_time()
            for _ in range(requests):
                await way()
            found[name].append((time.process_time() - start) / requests * 1e6)
    await asyncio.gather(lean.close(), through_httpx.close(), bare.close(), on_lean.aclose())
    return found


def main(arguments: list[str]) -> None:
    """Measure and print."""
    quick = "--quick" in arguments
    with minimal_api() as url:
        found = asyncio.run(measure(url, 200 if quick else 1000, 3 if quick else 9))
    ours, spread = median_and_spread(found.pop("lean"))
    peers = {name: round(median_and_spread(values)[0], 1) for name, values in found.items()}
    emit([Row("CPU per API request", "us", round(ours, 1), peers, 30.0, 3 if quick else 9, spread)], arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
