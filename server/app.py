"""The server as one ASGI application: routes, refusals, OpenAPI, the engine's pulse, and the door around it all."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from litestar import Litestar, Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ControllerRouterHandler

from server.admission import Call, admit
from server.deck import Deck, Limits
from server.door import App, Door
from server.filters import Retention
from server.refusals import HANDLERS
from server.routes import (
    assets,
    attempts,
    checkpoints,
    health,
    hitl,
    instances,
    lookups,
    people,
    runs,
    states,
    variables,
    workloads,
    xcoms,
)
from server.ticking import ticking

EXECUTION_FAMILIES = (instances, lookups, checkpoints, workloads, xcoms, variables, states, assets, runs, hitl)
PEOPLE_FAMILIES = (people, attempts)

VERSION = "1.0"

Lifespan = Callable[[Litestar], contextlib.AbstractAsyncContextManager[None]]


def application(deck: Deck, *, retention: Retention | None = None, pulse: bool = True) -> App:
    """Make the application. Without a pulse only routes change anything, as tests sometimes want it."""
    inner = routed(deck.limits, [lambda _: _lifespan(deck, retention or Retention(), pulse=pulse)])
    inner.state.deck = deck
    return Door(inner, deck.metrics.observe)


def routed(limits: Limits, lifespan: Sequence[Lifespan] = ()) -> Litestar:
    """Make what is inside of the door: all routes and their description. It needs no store to describe itself."""
    return Litestar(
        route_handlers=_routers(),
        guards=[admit],
        request_class=Call,
        exception_handlers=HANDLERS,
        request_max_body_size=limits.body,
        openapi_config=_openapi(),
        lifespan=list(lifespan),
        logging_config=None,
        path="/",
    )


def _routers() -> list[ControllerRouterHandler]:
    execution = [handler for family in EXECUTION_FAMILIES for handler in family.HANDLERS]
    of_people = [handler for family in PEOPLE_FAMILIES for handler in family.HANDLERS]
    return [
        Router("/execution", route_handlers=[*execution, *health.EXECUTION_HANDLERS], tags=["execution"]),
        Router("/api", route_handlers=of_people, tags=["people"]),
        *health.HANDLERS,
    ]


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Taskhand",
        version=VERSION,
        description="The execution API, for workers and tasks, and the API of people.",
        path="/schema",
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
        use_handler_docstrings=True,
    )


@contextlib.asynccontextmanager
async def _lifespan(deck: Deck, retention: Retention, *, pulse: bool) -> AsyncIterator[None]:
    await deck.store.open()
    try:
        if pulse:
            async with ticking(deck, retention):
                yield
        else:
            yield
    finally:
        await deck.store.close()
