"""The parts of a running server, in one place, for routes to reach."""

from datetime import datetime

from msgspec import Struct, field

from server.logbook import Logbook
from server.metrics import Metrics
from server.store import Store
from server.tokens import Tokens
from server.waiting import Closing


class Limits(Struct, frozen=True):
    """What a request may ask for at most."""

    body: int = 16 * 1024 * 1024
    log: int = 256 * 1024 * 1024
    """Of one attempt."""
    page: int = 1000
    wait_s: float = 30.0
    lease_s: float = 30.0
    """How long a claim or a running attempt lives without a word."""


class Deck(Struct, frozen=True):
    """The parts."""

    store: Store
    tokens: Tokens
    logbook: Logbook
    metrics: Metrics
    closing: Closing
    limits: Limits = Limits()
    asked: dict[str, datetime] = field(default_factory=dict)
    """When a worker last asked this server for work of a queue."""
