"""Whether the server is well, and how busy."""

from datetime import UTC, datetime

from litestar import Response, get

from protocol.http.values import HealthReport
from server.admission import OPEN, Call
from server.faults import StoreError
from server.routes.answers import refusals


async def _report(request: Call) -> Response[HealthReport]:
    try:
        await request.deck.store.ready(datetime.now(UTC))
    except StoreError as error:
        return Response(HealthReport("unhealthy", str(error)), status_code=503)
    return Response(HealthReport("healthy"))


@get("/health", opt=OPEN, responses=refusals(503, token=False), summary="Health")
async def health(request: Call) -> Response[HealthReport]:
    """Read and write once."""
    return await _report(request)


@get("/health", opt=OPEN, responses=refusals(503, token=False), summary="Health", operation_id="ExecutionHealth")
async def execution_health(request: Call) -> Response[HealthReport]:
    """Read and write once."""
    return await _report(request)


@get("/health/ping", opt=OPEN, responses=refusals(token=False), summary="Ping")
async def ping() -> dict[str, list[str] | dict[str, str]]:
    """Say that the process answers."""
    return {"ok": ["server"], "failing": {}}


@get("/metrics", opt=OPEN, responses=refusals(token=False), summary="Metrics", media_type="text/plain; version=0.0.4")
async def metrics(request: Call) -> str:
    """Give counts in Prometheus' text format."""
    deck = request.deck
    return deck.metrics.text(await deck.store.state_counts())


EXECUTION_HANDLERS = [execution_health, ping]
HANDLERS = [health, metrics]
